// RUN: %gru-opt %s --gru-lower-entry="name=my_kernel" | FileCheck %s

// Everything that the caller must know is in one attribute.
// CHECK-LABEL: func.func @my_kernel
// CHECK-SAME: (%[[CALL:.+]]: !llvm.ptr, %{{.+}}: i32) attributes {gru.plan = {
// CHECK-SAME: inputs = [{name = "x", shape = array<i64: 2, -1, 8>, type = f32}]
// CHECK-SAME: outputs = [{name = "output_0", shape = array<i64: 2, -1, 4>, type = f32}]
// CHECK-SAME: packs = [], parts = [], scratch = [array<i64: 640, 0>]
// CHECK-SAME: state_bytes = 64 : i64, states = [{name = "gru", offset = 0 : i64, shape = array<i64: 2, 4>, type = f32}]
// CHECK-SAME: symbols = [array<i64: 0, 1>]
// CHECK-SAME: weights = [], weights_bytes = 128 : i64
func.func @main(%x: memref<2x?x8xf32> {gru.dims = array<i64: 2, -1, 8>, gru.name = "x"},
                %h: memref<2x4xf32> {gru.dims = array<i64: 2, 4>, gru.name = "gru", gru.state = 0 : i64},
                %w: memref<8xf32> {gru.packed = 64 : i64},
                %y: memref<2x?x4xf32> {gru.dims = array<i64: 2, -1, 4>, gru.name = "output_0", gru.output},
                %s: memref<?xi8> {gru.scratch})
    attributes {gru.symbols = [array<i64: 0, 1>], gru.weights = [], gru.weights_bytes = 128 : i64, gru.pack_program = [], gru.scratch_regions = [array<i64: 640, 0>]} {
  // dims, then in, out, weights, state and scratch.
  // CHECK: %[[DIMS:.+]] = llvm.getelementptr %[[CALL]][0, 5]
  // CHECK: %[[DIMSP:.+]] = llvm.load %[[DIMS]]
  // CHECK: %[[T:.+]] = llvm.load %{{.*}} : !llvm.ptr -> i64
  // CHECK: llvm.getelementptr %[[CALL]][0, 0]
  // CHECK: llvm.getelementptr %[[CALL]][0, 1]
  // CHECK: llvm.getelementptr %[[CALL]][0, 2]
  // CHECK: %[[WEIGHTS:.+]] = llvm.load
  // CHECK: llvm.getelementptr %[[CALL]][0, 3]
  // CHECK: llvm.getelementptr %[[CALL]][0, 4]
  // The open dimension is the symbol; the weight lies at its offset in the blob.
  // CHECK: llvm.insertvalue %[[T]], %{{.*}}[3, 1]
  // CHECK: %[[X:.+]] = builtin.unrealized_conversion_cast {{.*}} to memref<2x?x8xf32>
  // CHECK: llvm.getelementptr %[[WEIGHTS]][64]
  // CHECK: memref.load %[[X]]
  %c0 = arith.constant 0 : index
  %v = memref.load %x[%c0, %c0, %c0] : memref<2x?x8xf32>
  %u = memref.load %w[%c0] : memref<8xf32>
  %a = arith.addf %u, %v : f32
  memref.store %a, %y[%c0, %c0, %c0] : memref<2x?x4xf32>
  memref.store %a, %h[%c0, %c0] : memref<2x4xf32>
  return
}
