// RUN: %gru-opt %s --gru-place-on-device --gru-move-data | FileCheck %s

// What stands around a device layer follows it: a product with a weight, an
// activation, a copy into a part of something larger. Only inputs and outputs move.

#id = affine_map<(d0, d1, d2) -> (d0, d1, d2)>

// CHECK: module attributes {gpu.container_module}
// CHECK-LABEL: func.func @around
// CHECK-NOT: gru.on_host
// CHECK: gru.device_move %arg0 : memref<2x?x3xf32>
// CHECK: gru.device_rnn "gpu"
// CHECK: gru.device_kernel "gru_kernel_0" items({{.*}}) reads({{.*}}) writes({{.*}} : memref<2x?x5xf32>)
// CHECK: gru.device_kernel "gru_kernel_1" items({{.*}}) reads({{.*}}) writes({{.*}} : memref<2x?x5xf32>)
// CHECK: gru.device_kernel "gru_kernel_2" {{.*}} writes({{.*}} : memref<2x?x5xf32, strided<[?, 8, 1], offset: 3>>)
// CHECK-NOT: linalg.generic
// CHECK: gru.device_move %arg6 to_host : memref<2x?x8xf32>
// CHECK-NEXT: return
func.func @around(%x: memref<2x?x3xf32> {gru.name = "x"}, %W: memref<3x12xf32> {gru.packed = 0 : i64},
    %U: memref<4x12xf32> {gru.packed = 192 : i64}, %D: memref<1x4x1x8xf32> {gru.packed = 384 : i64},
    %s: memref<2x?x4xf32> {gru.name = "s", gru.output}, %t: index, %y: memref<2x?x8xf32> {gru.name = "y", gru.output}) {
  %h = memref.alloc(%t) : memref<2x?x4xf32>
  gru.device_rnn "gpu" ins(%x : memref<2x?x3xf32>) weights(%W, %U : memref<3x12xf32>, memref<4x12xf32>)
      sequences(%h : memref<2x?x4xf32>)
      {activation = #gru.act<tanh>, layers = 1 : i64, recurrent_activation = #gru.act<sigmoid>, reset_after}
  %d = memref.alloc(%t) : memref<2x?x5xf32>
  gru.packed_dense ins(%h, %D : memref<2x?x4xf32>, memref<1x4x1x8xf32>) outs(%d : memref<2x?x5xf32>)
      {activation = #gru.act<relu>}
  %a = memref.alloc(%t) : memref<2x?x5xf32>
  linalg.generic {indexing_maps = [#id, #id], iterator_types = ["parallel", "parallel", "parallel"]}
      ins(%d : memref<2x?x5xf32>) outs(%a : memref<2x?x5xf32>) {
  ^bb0(%in: f32, %out: f32):
    %0 = gru.activation %in {kind = #gru.act<tanh>} : f32
    linalg.yield %0 : f32
  }
  %part = memref.subview %y[0, 0, 3] [2, %t, 5] [1, 1, 1] : memref<2x?x8xf32> to memref<2x?x5xf32, strided<[?, 8, 1], offset: 3>>
  memref.copy %a, %part : memref<2x?x5xf32> to memref<2x?x5xf32, strided<[?, 8, 1], offset: 3>>
  return
}

// What the host does in a loop stays there, with what it reads and writes; masks as
// well, though they come of the input.
// CHECK-LABEL: func.func @host
// CHECK-SAME: %arg0: memref<2x5x3xf32> {gru.name = "x", gru.on_host}
// CHECK-SAME: %arg3: memref<2x5x4xf32> {gru.name = "y", gru.on_host, gru.output}
// CHECK: linalg.generic
// CHECK: gru.device_move %arg0 : memref<2x5x3xf32>
// CHECK: gru.device_rnn "cudnn"
// CHECK-NEXT: gru.device_move %[[H:.*]] to_host : memref<2x5x4xf32>
// CHECK: scf.for
// CHECK-NOT: gru.device_move
// CHECK: return
func.func @host(%x: memref<2x5x3xf32> {gru.name = "x"}, %W: memref<3x12xf32> {gru.packed = 0 : i64},
    %U: memref<4x12xf32> {gru.packed = 192 : i64}, %y: memref<2x5x4xf32> {gru.name = "y", gru.output}) {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c2 = arith.constant 2 : index
  %zero = arith.constant 0.0 : f32
  %m = memref.alloc() : memref<2x5xi1>
  linalg.generic {indexing_maps = [affine_map<(d0, d1) -> (d0, d1, 0)>, affine_map<(d0, d1) -> (d0, d1)>],
      iterator_types = ["parallel", "parallel"]} ins(%x : memref<2x5x3xf32>) outs(%m : memref<2x5xi1>) {
  ^bb0(%in: f32, %out: i1):
    %0 = arith.cmpf une, %in, %zero : f32
    linalg.yield %0 : i1
  }
  %h = memref.alloc() : memref<2x5x4xf32>
  gru.device_rnn "cudnn" ins(%x : memref<2x5x3xf32>) weights(%W, %U : memref<3x12xf32>, memref<4x12xf32>)
      mask(%m : memref<2x5xi1>) sequences(%h : memref<2x5x4xf32>)
      {activation = #gru.act<tanh>, layers = 1 : i64, recurrent_activation = #gru.act<sigmoid>, reset_after}
  scf.for %i = %c0 to %c2 step %c1 {
    %v = memref.load %h[%i, %c0, %c0] : memref<2x5x4xf32>
    memref.store %v, %y[%i, %c0, %c0] : memref<2x5x4xf32>
  }
  return
}

// A layer that reads a view gets a dense buffer, filled on the device.
// CHECK-LABEL: func.func @view
// CHECK: gru.device_move %arg0
// CHECK: gru.device_kernel {{.*}} reads({{.*}} : memref<2x5x3xf32, strided<[40, 8, 1]>>) writes(%[[DENSE:.*]] : memref<2x5x3xf32>)
// CHECK: gru.device_rnn "gpu" ins(%[[DENSE]] : memref<2x5x3xf32>)
func.func @view(%x: memref<2x5x8xf32> {gru.name = "x"}, %W: memref<3x12xf32> {gru.packed = 0 : i64},
    %U: memref<4x12xf32> {gru.packed = 192 : i64}, %y: memref<2x4xf32> {gru.name = "y", gru.output}) {
  %part = memref.subview %x[0, 0, 0] [2, 5, 3] [1, 1, 1] : memref<2x5x8xf32> to memref<2x5x3xf32, strided<[40, 8, 1]>>
  gru.device_rnn "gpu" ins(%part : memref<2x5x3xf32, strided<[40, 8, 1]>>)
      weights(%W, %U : memref<3x12xf32>, memref<4x12xf32>) states(%y : memref<2x4xf32>)
      {activation = #gru.act<tanh>, layers = 1 : i64, recurrent_activation = #gru.act<sigmoid>, reset_after}
  return
}
