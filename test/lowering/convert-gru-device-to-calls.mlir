// RUN: %gru-opt %s --convert-gru-device-to-calls | FileCheck %s

// The record of a call, and the call through the session's device.

// CHECK-LABEL: func.func @main
// CHECK-SAME: %[[DEVICE:[a-z0-9]*]]: memref<?xi8> {gru.device}
// CHECK-SAME: gru.device_parts = [{batch = 2 : i64, directions = 1 : i64, features = 3 : i64, flags = 516 : i64, layers = 1 : i64, library = 1 : i64, offsets = array<i64: 0, 192, 448>, timesteps = 0 : i64, type = f32, units = 4 : i64, weights_per_cell = 3 : i64}]
// CHECK: %[[ARRAY:.*]] = llvm.alloca %{{.*}} x !llvm.ptr
// CHECK: memref.extract_aligned_pointer_as_index %arg4
// CHECK: llvm.store %{{.*}}, %{{.*}} : !llvm.ptr, !llvm.ptr
// CHECK: %[[PART:.*]] = llvm.mlir.constant(0 : i32)
// CHECK: memref.extract_aligned_pointer_as_index %[[DEVICE]]
// CHECK: %[[SELF:.*]] = llvm.inttoptr
// CHECK: %[[PLACE:.*]] = llvm.getelementptr %[[SELF]][0]
// CHECK: %[[CALLEE:.*]] = llvm.load %[[PLACE]] : !llvm.ptr -> !llvm.ptr
// CHECK: llvm.call %[[CALLEE]](%[[SELF]], %[[PART]], %{{.*}}, %[[ARRAY]]) : !llvm.ptr, (!llvm.ptr, i32, i64, !llvm.ptr) -> ()
// CHECK-NOT: gru.device_rnn
func.func @main(%x: memref<2x?x3xf32>, %W: memref<3x12xf32> {gru.packed = 0 : i64},
                %U: memref<4x12xf32> {gru.packed = 192 : i64}, %b: memref<2x12xf32> {gru.packed = 448 : i64},
                %s: memref<2x?x4xf32>) {
  gru.device_rnn "cudnn" ins(%x : memref<2x?x3xf32>)
      weights(%W, %U, %b : memref<3x12xf32>, memref<4x12xf32>, memref<2x12xf32>)
      sequences(%s : memref<2x?x4xf32>)
      {activation = #gru.act<tanh>, layers = 1 : i64, recurrent_activation = #gru.act<sigmoid>, reset_after}
  return
}

// A mask that cuDNN cannot take is told to the device.
// CHECK-LABEL: func.func @masked
// CHECK: scf.if
// CHECK: %[[NUMBER:.*]] = llvm.mlir.constant(0 : i32)
// CHECK: llvm.call %{{.*}}(%{{.*}}, %[[NUMBER]], %{{.*}}, %{{.*}})
// CHECK: } else {
// CHECK: %[[NONE:.*]] = llvm.mlir.zero : !llvm.ptr
// CHECK: %[[LEFT:.*]] = llvm.mlir.constant(-1 : i32)
// CHECK: llvm.call %{{.*}}(%{{.*}}, %[[LEFT]], %{{.*}}, %[[NONE]])
func.func @masked(%x: memref<2x5x3xf32>, %m: memref<2x5xi1>, %padded: i1, %W: memref<3x12xf32> {gru.packed = 0 : i64},
                  %U: memref<4x12xf32> {gru.packed = 192 : i64}, %s: memref<2x5x4xf32>) {
  scf.if %padded {
    gru.device_rnn "cudnn" ins(%x : memref<2x5x3xf32>)
        weights(%W, %U : memref<3x12xf32>, memref<4x12xf32>) mask(%m : memref<2x5xi1>)
        sequences(%s : memref<2x5x4xf32>)
        {activation = #gru.act<tanh>, layers = 1 : i64, recurrent_activation = #gru.act<sigmoid>, reset_after}
  } else {
  }
  return
}

// A kernel gets the addresses of first elements and the values; a move the bytes and
// the direction, by the device's second function.
// CHECK-LABEL: func.func @kernel
// CHECK-SAME: gru.device_parts = [{buffers = 2 : i64, code = "ptx", library = 3 : i64, values = 1 : i64}]
// CHECK: memref.extract_aligned_pointer_as_index %arg0
// CHECK: %[[VIEW:.*]] = memref.extract_aligned_pointer_as_index %{{.*}} : memref<2x?x4xf32, strided<[?, 8, 1], offset: 4>>
// CHECK: %[[BYTES:.*]] = arith.muli %{{.*}}, %c4
// CHECK: arith.addi %[[VIEW]], %[[BYTES]]
// CHECK: llvm.inttoptr
// CHECK: llvm.inttoptr
// CHECK: llvm.call
// CHECK: %[[TO_HOST:.*]] = llvm.mlir.constant(1 : i32)
// CHECK: llvm.getelementptr %{{.*}}[1]
// CHECK: llvm.call %{{.*}}(%{{.*}}, %{{.*}}, %{{.*}}, %[[TO_HOST]]) : !llvm.ptr, (!llvm.ptr, !llvm.ptr, i64, i32) -> ()
// CHECK-NOT: gru.device_
func.func @kernel(%x: memref<2x?x4xf32>, %y: memref<2x?x8xf32>, %t: index) {
  %view = memref.subview %y[0, 0, 4] [2, %t, 4] [1, 1, 1] : memref<2x?x8xf32> to memref<2x?x4xf32, strided<[?, 8, 1], offset: 4>>
  gru.device_kernel "ptx" items(%t) reads(%x : memref<2x?x4xf32>) writes(%view : memref<2x?x4xf32, strided<[?, 8, 1], offset: 4>>) values(%t)
  gru.device_move %y to_host : memref<2x?x8xf32>
  return
}
