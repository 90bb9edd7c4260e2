// RUN: %gru-opt %s --convert-gru-packed-dense-to-vector --canonicalize | FileCheck %s

// Sums start from the bias; the activation is applied in registers; the last
// block of columns is masked.
// CHECK-LABEL: func.func @dense
// CHECK-SAME: %[[X:[a-z0-9]+]]: memref<4x8xf32>, %[[W:[a-z0-9]+]]: memref<2x8x1x16xf32>, %[[B:[a-z0-9]+]]: memref<2x1x16xf32>, %[[Y:[a-z0-9]+]]: memref<4x20xf32>
func.func @dense(%x: memref<4x8xf32>, %W: memref<2x8x1x16xf32>, %b: memref<2x1x16xf32>, %y: memref<4x20xf32>) {
  // CHECK: scf.for %[[BLOCK:.+]] = %c0 to %c2 step %c1 {
  // CHECK: vector.load %[[B]][%[[BLOCK]], %c0, %c0]
  // CHECK: scf.for %{{.*}} = %c0 to %c8 step %c1 iter_args
  // CHECK-COUNT-4: vector.fma
  // CHECK-NOT: vector.fma
  // CHECK: scf.yield
  // CHECK: gru.activation %{{.*}} {kind = #gru.act<tanh>} : vector<16xf32>
  // CHECK: vector.maskedstore %[[Y]]
  gru.packed_dense ins(%x, %W : memref<4x8xf32>, memref<2x8x1x16xf32>) bias(%b : memref<2x1x16xf32>) outs(%y : memref<4x20xf32>)
      {activation = #gru.act<tanh>, rows = 4 : i64}
  return
}

// The input projection: rows are timesteps, whole blocks of them and then the rest
// one by one; it stores time first, in the order of the weights.
// CHECK-LABEL: func.func @projection
// CHECK-SAME: %[[X:[a-z0-9]+]]: memref<2x?x8xf32>, %{{.*}}, %[[P:[a-z0-9]+]]: memref<?x2x1x3x16xf32>
func.func @projection(%x: memref<2x?x8xf32>, %W: memref<1x8x3x16xf32>, %p: memref<?x2x1x3x16xf32>) {
  // CHECK: scf.for %[[ROW:.+]] = %c0 to %c2 step %c1 {
  // CHECK: %[[REST:.+]] = arith.remui %[[T:.+]], %c4
  // CHECK: %[[WHOLE:.+]] = arith.subi %[[T]], %[[REST]]
  // CHECK: scf.for %[[TIME:.+]] = %c0 to %[[WHOLE]] step %c4 {
  // CHECK-COUNT-12: vector.fma
  // CHECK-NOT: vector.fma
  // CHECK-NOT: gru.activation
  // CHECK: vector.store %{{.*}}, %[[P]][%[[TIME]], %[[ROW]], %c0, %c0, %c0]
  // CHECK: scf.for %{{.*}} = %[[WHOLE]] to %[[T]] step %c1 {
  // CHECK-COUNT-3: vector.fma
  gru.packed_dense ins(%x, %W : memref<2x?x8xf32>, memref<1x8x3x16xf32>) outs(%p : memref<?x2x1x3x16xf32>)
      {activation = #gru.act<linear>, rows = 4 : i64}
  return
}

// Time major, with rows enough in the batch: those are computed together.
// CHECK-LABEL: func.func @projection_time_major
// CHECK-SAME: %[[X:[a-z0-9]+]]: memref<?x4x8xf32>, %{{.*}}, %[[P:[a-z0-9]+]]: memref<?x4x1x3x16xf32>
func.func @projection_time_major(%x: memref<?x4x8xf32>, %W: memref<1x8x3x16xf32>, %p: memref<?x4x1x3x16xf32>) {
  // CHECK: scf.for %[[TIME:.+]] = %c0 to %{{.*}} step %c1 {
  // CHECK: memref.load %[[X]][%[[TIME]], %c3, %{{.*}}]
  // CHECK: vector.store %{{.*}}, %[[P]][%[[TIME]], %c0, %c0, %c0, %c0]
  gru.packed_dense ins(%x, %W : memref<?x4x8xf32>, memref<1x8x3x16xf32>) outs(%p : memref<?x4x1x3x16xf32>)
      {activation = #gru.act<linear>, time_major, rows = 4 : i64}
  return
}

// One row of a vector.
// CHECK-LABEL: func.func @vector
func.func @vector(%x: memref<8xf32>, %W: memref<1x8x1x16xf32>, %y: memref<16xf32>) {
  // CHECK: vector.store %{{.*}}, %{{.*}}[%c0] : memref<16xf32>
  gru.packed_dense ins(%x, %W : memref<8xf32>, memref<1x8x1x16xf32>) outs(%y : memref<16xf32>) {activation = #gru.act<linear>}
  return
}

// The destination's blocks are two of the weight's wide.
// CHECK-LABEL: func.func @wide_destination
func.func @wide_destination(%x: memref<8x2x5xf32>, %W: memref<4x5x3x16xf32>, %y: memref<2x8x2x3x32xf32>) {
  // CHECK: scf.for %[[B:.+]] = %c0 to %c4
  // CHECK: %[[PART:.+]] = arith.remui %[[B]], %c2
  // CHECK: %[[BLOCK:.+]] = arith.divui %[[B]], %c2
  // CHECK: %[[COLUMN:.+]] = arith.muli %[[PART]], %c16
  // CHECK: vector.store %{{.*}}, %{{.*}}[%{{.*}}, %{{.*}}, %[[BLOCK]], %c0, %[[COLUMN]]]
  gru.packed_dense ins(%x, %W : memref<8x2x5xf32>, memref<4x5x3x16xf32>) outs(%y : memref<2x8x2x3x32xf32>)
      {activation = #gru.act<linear>, rows = 8 : i64}
  return
}

// Weights of more than the nearest caches hold, used by several rows, are asked for
// 24 rows of three lines ahead.
// CHECK-LABEL: func.func @prefetch
// CHECK-SAME: %{{.*}}: memref<1x4x400xf32>, %[[W:[a-z0-9]+]]: memref<6x400x3x16xf32>
func.func @prefetch(%x: memref<1x4x400xf32>, %W: memref<6x400x3x16xf32>, %y: memref<1x4x6x3x16xf32>) {
  // CHECK: scf.for %[[BLOCK:.+]] = %c0 to %c6
  // CHECK: scf.for %[[K:.+]] = %c0 to %c400
  // CHECK: %[[AHEAD:.+]] = arith.addi %[[K]], %c24
  // CHECK: memref.prefetch %[[W]][%[[BLOCK]], %[[AHEAD]], %c0, %c0], read, locality<3>, data
  // CHECK: memref.prefetch %[[W]][%[[BLOCK]], %[[AHEAD]], %c1, %c0]
  // CHECK: memref.prefetch %[[W]][%[[BLOCK]], %[[AHEAD]], %c2, %c0]
  // CHECK: vector.fma
  gru.packed_dense ins(%x, %W : memref<1x4x400xf32>, memref<6x400x3x16xf32>) outs(%y : memref<1x4x6x3x16xf32>)
      {activation = #gru.act<linear>, time_major, rows = 4 : i64}
  return
}
