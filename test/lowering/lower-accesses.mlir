// RUN: %gru-opt %s --gru-lower-accesses | FileCheck %s

!descriptor = !llvm.struct<(ptr, ptr, i64, array<4 x i64>, array<4 x i64>)>
!matrix = !llvm.struct<(ptr, ptr, i64, array<2 x i64>, array<2 x i64>)>
!bytes = !llvm.struct<(ptr, ptr, i64, array<1 x i64>, array<1 x i64>)>

// The term of a block is computed outside of the loop over k, that of k once for
// both accesses, and what is constant is one offset.
// CHECK-LABEL: @packed
// CHECK-SAME: (%[[p:.*]]: !llvm.ptr)
func.func @packed(%p: !llvm.ptr) -> vector<16xf32> {
  %none = llvm.mlir.poison : !descriptor
  %d = llvm.insertvalue %p, %none[1] : !descriptor
  %U = builtin.unrealized_conversion_cast %d : !descriptor to memref<4x64x3x32xf32>
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c2 = arith.constant 2 : index
  %c4 = arith.constant 4 : index
  %c16 = arith.constant 16 : index
  %c64 = arith.constant 64 : index
  %zero = arith.constant dense<0.0> : vector<16xf32>
  // CHECK: scf.for %[[block:[^ ]+]] =
  // CHECK: %[[b:.*]] = arith.index_cast %[[block]] : index to i64
  // CHECK: %[[P:.*]] = llvm.getelementptr inbounds %[[p]][%[[b]]] : (!llvm.ptr, i64) -> !llvm.ptr, !llvm.array<6144 x f32>
  // CHECK: scf.for %[[k:[^ ]+]] =
  // CHECK: %[[i:.*]] = arith.index_cast %[[k]] : index to i64
  // CHECK: %[[Q:.*]] = llvm.getelementptr inbounds %[[P]][%[[i]]] : (!llvm.ptr, i64) -> !llvm.ptr, !llvm.array<96 x f32>
  // CHECK: llvm.load %[[Q]] {alignment = 4 : i64} : !llvm.ptr -> vector<16xf32>
  // CHECK: %[[R:.*]] = llvm.getelementptr inbounds %[[Q]][80] : (!llvm.ptr) -> !llvm.ptr, f32
  // CHECK: llvm.load %[[R]] {alignment = 64 : i64} : !llvm.ptr -> vector<16xf32>
  // CHECK-NOT: unrealized_conversion_cast
  %sum = scf.for %block = %c0 to %c4 step %c1 iter_args(%a = %zero) -> vector<16xf32> {
    %inner = scf.for %k = %c0 to %c64 step %c1 iter_args(%e = %a) -> vector<16xf32> {
      %x = vector.load %U[%block, %k, %c0, %c0] : memref<4x64x3x32xf32>, vector<16xf32>
      %y = vector.load %U[%block, %k, %c2, %c16] {alignment = 64} : memref<4x64x3x32xf32>, vector<16xf32>
      %s = arith.addf %e, %x : vector<16xf32>
      %t = arith.addf %s, %y : vector<16xf32>
      scf.yield %t : vector<16xf32>
    }
    scf.yield %inner : vector<16xf32>
  }
  return %sum : vector<16xf32>
}

// A stride that only the run knows is a product; sizes come from the descriptor.
// CHECK-LABEL: @dynamic
// CHECK-SAME: (%[[p:.*]]: !llvm.ptr, %[[n:.*]]: i64, %[[row:.*]]: index, %[[x:.*]]: f64)
func.func @dynamic(%p: !llvm.ptr, %n: i64, %row: index, %x: f64) -> index {
  %none = llvm.mlir.poison : !matrix
  %a = llvm.insertvalue %p, %none[1] : !matrix
  %b = llvm.insertvalue %n, %a[3, 1] : !matrix
  %d = llvm.insertvalue %n, %b[4, 0] : !matrix
  %m = builtin.unrealized_conversion_cast %d : !matrix to memref<3x?xf64>
  %c1 = arith.constant 1 : index
  // CHECK: %[[i:.*]] = arith.index_cast %[[row]] : index to i64
  // CHECK: %[[product:.*]] = arith.muli %[[i]], %[[n]] : i64
  // CHECK: %[[q:.*]] = llvm.getelementptr inbounds %[[p]][%[[product]]] : (!llvm.ptr, i64) -> !llvm.ptr, f64
  // CHECK: %[[r:.*]] = llvm.getelementptr inbounds %[[q]][1] : (!llvm.ptr) -> !llvm.ptr, f64
  // CHECK: llvm.store %[[x]], %[[r]] {alignment = 8 : i64} : f64, !llvm.ptr
  memref.store %x, %m[%row, %c1] : memref<3x?xf64>
  // CHECK: %[[size:.*]] = arith.index_cast %[[n]] : i64 to index
  // CHECK: return %[[size]]
  %size = memref.dim %m, %c1 : memref<3x?xf64>
  return %size : index
}

// Views only move the pointer.
// CHECK-LABEL: @views
// CHECK-SAME: (%[[p:.*]]: !llvm.ptr, %[[i:.*]]: index)
func.func @views(%p: !llvm.ptr, %i: index) -> f32 {
  %none = llvm.mlir.poison : !bytes
  %d = llvm.insertvalue %p, %none[1] : !bytes
  %scratch = builtin.unrealized_conversion_cast %d : !bytes to memref<?xi8>
  %c2 = arith.constant 2 : index
  %c128 = arith.constant 128 : index
  // CHECK: %[[n:.*]] = arith.index_cast %[[i]] : index to i64
  // CHECK: %[[q:.*]] = llvm.getelementptr inbounds %[[p]][128] : (!llvm.ptr) -> !llvm.ptr, i8
  // CHECK: %[[r:.*]] = llvm.getelementptr inbounds %[[q]][%[[n]]] : (!llvm.ptr, i64) -> !llvm.ptr, !llvm.array<8 x f32>
  // CHECK: %[[s:.*]] = llvm.getelementptr inbounds %[[r]][4] : (!llvm.ptr) -> !llvm.ptr, f32
  // CHECK: %[[t:.*]] = llvm.getelementptr inbounds %[[s]][2] : (!llvm.ptr) -> !llvm.ptr, f32
  // CHECK: llvm.load %[[t]]
  // CHECK-NOT: memref
  %view = memref.view %scratch[%c128][] : memref<?xi8> to memref<5x8xf32>
  %row = memref.subview %view[%i, 4] [1, 4] [1, 1] : memref<5x8xf32> to memref<4xf32, strided<[1], offset: ?>>
  %x = memref.load %row[%c2] : memref<4xf32, strided<[1], offset: ?>>
  return %x : f32
}

// CHECK-LABEL: @prefetch
func.func @prefetch(%p: !llvm.ptr, %i: index) {
  %none = llvm.mlir.poison : !matrix
  %d = llvm.insertvalue %p, %none[1] : !matrix
  %m = builtin.unrealized_conversion_cast %d : !matrix to memref<6x4xf32>
  %c0 = arith.constant 0 : index
  // CHECK: %[[Q:.+]] = llvm.getelementptr
  // CHECK: "llvm.intr.prefetch"(%[[Q]]) <{cache = 1 : i32, hint = 3 : i32, rw = 0 : i32}>
  memref.prefetch %m[%i, %c0], read, locality<3>, data : memref<6x4xf32>
  return
}

// CHECK-LABEL: @masked
// CHECK-SAME: %[[M:[a-z0-9]+]]: vector<8xi1>, %[[V:[a-z0-9]+]]: vector<8xbf16>
func.func @masked(%p: !llvm.ptr, %i: index, %mask: vector<8xi1>, %v: vector<8xbf16>) {
  %none = llvm.mlir.poison : !matrix
  %d = llvm.insertvalue %p, %none[1] : !matrix
  %m = builtin.unrealized_conversion_cast %d : !matrix to memref<6x8xbf16>
  %c0 = arith.constant 0 : index
  // CHECK: %[[Q:.+]] = llvm.getelementptr
  // CHECK: %[[OTHER:.+]] = llvm.bitcast %[[V]] : vector<8xbf16> to vector<8xi16>
  // CHECK: %[[X:.+]] = llvm.intr.masked.load %[[Q]], %[[M]], %[[OTHER]] {alignment = 2 : i32} : (!llvm.ptr, vector<8xi1>, vector<8xi16>) -> vector<8xi16>
  // CHECK: %[[Y:.+]] = llvm.bitcast %[[X]] : vector<8xi16> to vector<8xbf16>
  // CHECK: %[[Z:.+]] = arith.negf %[[Y]]
  // CHECK: %[[W:.+]] = llvm.bitcast %[[Z]] : vector<8xbf16> to vector<8xi16>
  // CHECK: llvm.intr.masked.store %[[W]], %[[Q]], %[[M]] {alignment = 2 : i32} : vector<8xi16>, vector<8xi1> into !llvm.ptr
  %x = vector.maskedload %m[%i, %c0], %mask, %v : memref<6x8xbf16>, vector<8xi1>, vector<8xbf16> into vector<8xbf16>
  %y = arith.negf %x : vector<8xbf16>
  vector.maskedstore %m[%i, %c0], %mask, %y : memref<6x8xbf16>, vector<8xi1>, vector<8xbf16>
  return
}

// What does not lead back to an argument is left to the general way, and so are
// vectors of several dimensions.
// CHECK-LABEL: @left
func.func @left(%m: memref<4xf32>, %p: !llvm.ptr, %i: index) -> (f32, vector<2x4xf32>) {
  %none = llvm.mlir.poison : !matrix
  %d = llvm.insertvalue %p, %none[1] : !matrix
  %n = builtin.unrealized_conversion_cast %d : !matrix to memref<6x4xf32>
  // CHECK: memref.load
  %x = memref.load %m[%i] : memref<4xf32>
  %c0 = arith.constant 0 : index
  // CHECK: vector.load
  %y = vector.load %n[%c0, %c0] : memref<6x4xf32>, vector<2x4xf32>
  return %x, %y : f32, vector<2x4xf32>
}
