// RUN: %gru-opt %s --convert-gru-rowwise-to-loops | FileCheck %s

// A copy, then three sweeps over each row: maximum, exponentials and their sum,
// quotient.
// CHECK-LABEL: func.func @softmax
// CHECK-SAME: %[[X:.+]]: tensor<2x?x8xf32>
func.func @softmax(%x: tensor<2x?x8xf32>) -> tensor<2x?x8xf32> {
  // CHECK-DAG: %[[SOURCE:.+]] = bufferization.to_buffer %[[X]] read_only
  // CHECK: %[[Y:.+]] = memref.alloc(%[[T:.+]]) : memref<2x?x8xf32>
  // CHECK: memref.copy %[[SOURCE]], %[[Y]]
  // CHECK: scf.for
  // CHECK: scf.for %{{.*}} to %[[T]]
  // CHECK: %[[ROW:.+]] = memref.subview %[[Y]][%{{.*}}, %{{.*}}, 0] [1, 1, 8]
  // CHECK: %[[MAX:.+]] = scf.for
  // CHECK: %[[SUM:.+]] = scf.for
  // CHECK: arith.subf %{{.*}}, %[[MAX]]
  // CHECK: scf.for
  // CHECK: arith.divf %{{.*}}, %[[SUM]]
  // CHECK: memref.store %{{.*}}, %[[ROW]]
  // CHECK: bufferization.to_tensor %[[Y]]
  %y = gru.activation %x {kind = #gru.act<softmax>} : tensor<2x?x8xf32>
  return %y : tensor<2x?x8xf32>
}

// CHECK-LABEL: func.func @log_softmax
func.func @log_softmax(%x: tensor<8xf32>) -> tensor<8xf32> {
  // CHECK-NOT: gru.activation
  // CHECK: math.log
  %y = gru.activation %x {kind = #gru.act<log_softmax>} : tensor<8xf32>
  return %y : tensor<8xf32>
}

// CHECK-LABEL: func.func @sparsemax
func.func @sparsemax(%x: tensor<2x8xf32>) -> tensor<2x8xf32> {
  // CHECK-NOT: gru.activation
  // CHECK: arith.divf
  %y = gru.activation %x {kind = #gru.act<sparsemax>} : tensor<2x8xf32>
  return %y : tensor<2x8xf32>
}

// CHECK-LABEL: func.func @pointwise_stays
func.func @pointwise_stays(%x: tensor<2x8xf32>) -> tensor<2x8xf32> {
  // CHECK-NEXT: gru.activation
  %y = gru.activation %x {kind = #gru.act<tanh>} : tensor<2x8xf32>
  return %y : tensor<2x8xf32>
}
