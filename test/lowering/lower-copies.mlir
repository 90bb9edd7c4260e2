// RUN: %gru-opt %s --gru-lower-copies --canonicalize | FileCheck %s

// Vectors along the last dimension, then what is left one by one.
// CHECK-LABEL: func.func @strided
// CHECK-SAME: %[[X:[a-z0-9]+]]: memref<2x20xf32, strided<[32, 1]>>, %[[Y:[a-z0-9]+]]: memref<2x20xf32>
func.func @strided(%x: memref<2x20xf32, strided<[32, 1]>>, %y: memref<2x20xf32>) {
  // CHECK: scf.for %[[I:.+]] = %c0 to %c2
  // CHECK: %[[V:.+]] = vector.load %[[X]][%[[I]], %{{.*}}] : {{.*}}, vector<16xf32>
  // CHECK: vector.store %[[V]], %[[Y]][%[[I]], %{{.*}}]
  // CHECK: scf.for %[[J:.+]] = %c16 to %c20
  // CHECK: %[[E:.+]] = memref.load %[[X]][%[[I]], %[[J]]]
  // CHECK: memref.store %[[E]], %[[Y]][%[[I]], %[[J]]]
  // CHECK-NOT: memref.copy
  memref.copy %x, %y : memref<2x20xf32, strided<[32, 1]>> to memref<2x20xf32>
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
