// RUN: %gru-opt %s --gru-lower-calls | FileCheck %s
// RUN: %gru-opt %s --gru-lower-calls --gru-lower-accesses --canonicalize | FileCheck %s --check-prefix=ADDRESS

// Buffers come as addresses, with the sizes that only a run knows.
// CHECK-LABEL: func.func private @kernel
// CHECK-SAME: (%[[X:.+]]: !llvm.ptr, %[[T:.+]]: index, %[[Y:.+]]: !llvm.ptr)
func.func private @kernel(%x: memref<?x8xf32>, %y: memref<4x8xf32, strided<[16, 1], offset: ?>>) {
  // CHECK-NOT: memref<{{.*}} to !llvm.ptr
  // CHECK: memref.load
  // ADDRESS-LABEL: func.func private @kernel
  // ADDRESS: %[[FROM:.+]] = llvm.getelementptr inbounds %arg0[3]
  // ADDRESS: %[[V:.+]] = llvm.load %[[FROM]]
  // ADDRESS: %[[TO:.+]] = llvm.getelementptr inbounds %arg2[17]
  // ADDRESS: llvm.store %[[V]], %[[TO]]
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c3 = arith.constant 3 : index
  %0 = memref.load %x[%c0, %c3] : memref<?x8xf32>
  memref.store %0, %y[%c1, %c1] : memref<4x8xf32, strided<[16, 1], offset: ?>>
  return
}

// CHECK-LABEL: func.func @caller
// CHECK-SAME: (%[[X:.+]]: memref<?x8xf32>, %[[Z:.+]]: memref<4x16xf32>)
func.func @caller(%x: memref<?x8xf32>, %z: memref<4x16xf32>) {
  %y = memref.subview %z[0, 8] [4, 8] [1, 1] : memref<4x16xf32> to memref<4x8xf32, strided<[16, 1], offset: 8>>
  %0 = memref.cast %y : memref<4x8xf32, strided<[16, 1], offset: 8>> to memref<4x8xf32, strided<[16, 1], offset: ?>>
  // CHECK: %[[A:.+]] = builtin.unrealized_conversion_cast %[[X]] : memref<?x8xf32> to !llvm.ptr
  // CHECK: %[[T:.+]] = memref.dim %[[X]]
  // CHECK: %[[B:.+]] = builtin.unrealized_conversion_cast %{{.*}} : memref<4x8xf32, {{.*}}> to !llvm.ptr
  // CHECK: call @kernel(%[[A]], %[[T]], %[[B]]) : (!llvm.ptr, index, !llvm.ptr) -> ()
  call @kernel(%x, %0) : (memref<?x8xf32>, memref<4x8xf32, strided<[16, 1], offset: ?>>) -> ()
  return
}
