// RUN: %gru-opt %s --convert-gru-device-to-calls | FileCheck %s

// The record of a call, and the call through the session's device. A view of
// something larger is copied.

// CHECK-LABEL: func.func @main
// CHECK-SAME: %[[DEVICE:[a-z0-9]*]]: memref<?xi8> {gru.device}
// CHECK-SAME: gru.device_parts = [{batch = 2 : i64, directions = 1 : i64, features = 3 : i64, flags = 516 : i64, layers = 1 : i64, library = 1 : i64, offsets = array<i64: 0, 192, 448>, timesteps = 0 : i64, type = f32, units = 4 : i64, weights_per_cell = 3 : i64}]
// CHECK: %[[ARRAY:.*]] = llvm.alloca %{{.*}} x !llvm.ptr
// CHECK: %[[DENSE:.*]] = memref.alloc(%{{.*}}) {{.*}}: memref<2x?x4xf32>
// CHECK: llvm.store %{{.*}}, %{{.*}} : !llvm.ptr, !llvm.ptr
// CHECK: memref.extract_aligned_pointer_as_index %[[DENSE]]
// CHECK: memref.extract_aligned_pointer_as_index %[[DEVICE]]
// CHECK: %[[CALLEE:.*]] = llvm.load %[[SELF:.*]] : !llvm.ptr -> !llvm.ptr
// CHECK: %[[PART:.*]] = llvm.mlir.constant(0 : i32)
// CHECK: llvm.call %[[CALLEE]](%[[SELF]], %[[PART]], %{{.*}}, %[[ARRAY]]) : !llvm.ptr, (!llvm.ptr, i32, i64, !llvm.ptr) -> ()
// CHECK: memref.copy %[[DENSE]], %arg4
// CHECK-NOT: gru.device_rnn
func.func @main(%x: memref<2x?x3xf32>, %W: memref<3x12xf32> {gru.packed = 0 : i64},
                %U: memref<4x12xf32> {gru.packed = 192 : i64}, %b: memref<2x12xf32> {gru.packed = 448 : i64},
                %s: memref<2x?x4xf32, strided<[?, 8, 1], offset: 4>>) {
  gru.device_rnn "cudnn" ins(%x : memref<2x?x3xf32>)
      weights(%W, %U, %b : memref<3x12xf32>, memref<4x12xf32>, memref<2x12xf32>)
      sequences(%s : memref<2x?x4xf32, strided<[?, 8, 1], offset: 4>>)
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
