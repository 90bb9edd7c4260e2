// RUN: %gru-opt %s --convert-gru-to-gpu --gru-make-gpu-kernels | FileCheck %s

// What cuDNN cannot take: another activation, the reset gate before the product, a
// mask with holes, backwards.

// CHECK: module attributes {gpu.container_module}
// CHECK-LABEL: func.func @main
// CHECK: gru.device_rnn "gpu" {{.*}} mask({{.*}}) sequences({{.*}}) {{.*}} code = "gru_layer_0", go_backwards, layers = 1 : i64
// CHECK-NOT: gru.gru
func.func @main(%x: tensor<2x?x3xf32>, %W: tensor<3x12xf32>, %U: tensor<4x12xf32>, %m: tensor<2x?xi1>) -> tensor<2x?x4xf32> {
  %s, %l, %h = gru.gru %x kernel(%W, %U) mask(%m : tensor<2x?xi1>)
      {activation = #gru.act<relu>, recurrent_activation = #gru.act<hard_sigmoid>, go_backwards, gru.backend = "gpu"}
      : tensor<2x?x3xf32>, tensor<3x12xf32>, tensor<4x12xf32> -> tensor<2x?x4xf32>, tensor<2x4xf32>, tensor<2x4xf32>
  return %s : tensor<2x?x4xf32>
}

// CHECK: gpu.module @gru_layer_0
// CHECK: llvm.mlir.global external @gru_shared() {addr_space = 3 : i32
// CHECK: llvm.mlir.global internal @gru_tile() {addr_space = 3 : i32
// The product of all inputs with the kernel.
// CHECK: gpu.func @gru_project({{.*}}) kernel attributes {known_block_size = array<i32: 256, 1, 1>}
// CHECK: gpu.barrier
// CHECK: math.fma
// CHECK: gpu.return
// The units' weights go to shared memory; flags; a barrier.
// CHECK: gpu.func @gru_layer({{.*}}) kernel
// CHECK: llvm.addrspacecast {{.*}} : !llvm.ptr<3> to !llvm.ptr
// CHECK: gpu.barrier
// CHECK: llvm.fence syncscope("device") acq_rel
// CHECK: llvm.atomicrmw add %{{.*}}, %{{.*}} syncscope("device") monotonic
// CHECK: scf.while
// CHECK: llvm.load %{{.*}} atomic syncscope("device") acquire
// The steps: two halves, since the candidate waits for r * h of all units.
// CHECK: scf.for
// CHECK: gpu.shuffle xor
// CHECK: gru.activation {{.*}}<hard_sigmoid
// CHECK: llvm.atomicrmw add
// CHECK: gpu.shuffle xor
// CHECK: gru.activation {{.*}}<relu
// CHECK: llvm.atomicrmw add
// CHECK: gpu.return
// The same with the weights of a warp's unit in registers: three for each lane here,
// loaded ahead of the steps.
// CHECK: gpu.func @gru_layer_in_registers({{.*}}) kernel attributes {nvvm.maxntid = array<i32: 256>}
// CHECK-COUNT-3: arith.select %{{.*}}, %{{.*}}, %{{.*}} : f32
// CHECK: gpu.barrier
// CHECK: scf.for
// CHECK: gpu.shuffle xor
// CHECK: gpu.return
