// RUN: %gru-opt %s --gru-lower-copies --canonicalize | FileCheck %s

// Vectors along the last dimension, then what is left in smaller ones.
// CHECK-LABEL: func.func @strided
// CHECK-SAME: %[[X:[a-z0-9]+]]: memref<2x20xf32, strided<[32, 1]>>, %[[Y:[a-z0-9]+]]: memref<2x20xf32>
func.func @strided(%x: memref<2x20xf32, strided<[32, 1]>>, %y: memref<2x20xf32>) {
  // CHECK: scf.for %[[I:.+]] = %c0 to %c2
  // CHECK: %[[V:.+]] = vector.load %[[X]][%[[I]], %{{.*}}] : {{.*}}, vector<16xf32>
  // CHECK: vector.store %[[V]], %[[Y]][%[[I]], %{{.*}}]
  // CHECK: %[[E:.+]] = vector.load %[[X]][%[[I]], %c16] : {{.*}}, vector<4xf32>
  // CHECK: vector.store %[[E]], %[[Y]][%[[I]], %c16]
  // CHECK-NOT: memref.copy
  memref.copy %x, %y : memref<2x20xf32, strided<[32, 1]>> to memref<2x20xf32>
  return
}

// Rows that lie behind each other are one; what is long is a loop, with what is
// left one by one.
// CHECK-LABEL: func.func @one_piece
func.func @one_piece(%x: memref<9x9xf32>, %y: memref<9x9xf32>) {
  // CHECK: memref.collapse_shape %{{.*}} : memref<9x9xf32> into memref<81xf32>
  // CHECK: scf.for %{{.*}} = %c0 to %c80 step %c16
  // CHECK: vector.load {{.*}} vector<16xf32>
  // CHECK: memref.load %{{.*}}[%c80]
  memref.copy %x, %y : memref<9x9xf32> to memref<9x9xf32>
  return
}

// CHECK-LABEL: func.func @no_tail
func.func @no_tail(%x: memref<2x?x16xf64>, %y: memref<2x?x16xf64>) {
  // CHECK: vector.load {{.*}} vector<8xf64>
  // CHECK-NOT: memref.load
  memref.copy %x, %y : memref<2x?x16xf64> to memref<2x?x16xf64>
  return
}

// Booleans and buffers whose last dimension is strided go one by one.
// CHECK-LABEL: func.func @scalars
func.func @scalars(%x: memref<4xi1>, %y: memref<4xi1>, %a: memref<4x4xf32, strided<[1, 4]>>, %b: memref<4x4xf32>) {
  // CHECK-NOT: vector.load
  // CHECK-COUNT-2: memref.store
  memref.copy %x, %y : memref<4xi1> to memref<4xi1>
  memref.copy %a, %b : memref<4x4xf32, strided<[1, 4]>> to memref<4x4xf32>
  return
}

// CHECK-LABEL: func.func @onto_itself
func.func @onto_itself(%x: memref<4xf32>) {
  // CHECK-NEXT: return
  memref.copy %x, %x : memref<4xf32> to memref<4xf32>
  return
}
