// RUN: %gru-opt %s --convert-gru-to-linalg | FileCheck %s

// CHECK-LABEL: func.func @activation
func.func @activation(%x: tensor<2x?x8xf32>) -> tensor<2x?x8xf32> {
  // CHECK: %[[Y:.+]] = linalg.generic {{.*}} iterator_types = ["parallel", "parallel", "parallel"]}
  // CHECK: gru.activation %{{.*}} {kind = #gru.act<tanh>} : f32
  // CHECK: return %[[Y]]
  %y = gru.activation %x {kind = #gru.act<tanh>} : tensor<2x?x8xf32>
  return %y : tensor<2x?x8xf32>
}

// Each element is read from the end: n - 1 - i.
// CHECK-LABEL: func.func @reverse
// CHECK-SAME: %[[X:.+]]: tensor<2x?x8xf32>
func.func @reverse(%x: tensor<2x?x8xf32>) -> tensor<2x?x8xf32> {
  // CHECK: %[[ONE:.+]] = arith.constant 1 : index
  // CHECK: %[[N:.+]] = tensor.dim %[[X]], %[[ONE]]
  // CHECK: %[[END:.+]] = arith.subi %[[N]], %[[ONE]]
  // CHECK: linalg.generic
  // CHECK: %[[I:.+]] = linalg.index 1
  // CHECK: %[[AT:.+]] = arith.subi %[[END]], %[[I]]
  // CHECK: tensor.extract %[[X]][%{{.*}}, %[[AT]], %{{.*}}]
  %y = gru.reverse %x {dim = 1} : tensor<2x?x8xf32>
  return %y : tensor<2x?x8xf32>
}

// CHECK-LABEL: func.func @concat
func.func @concat(%x: tensor<2x?x8xf32>, %y: tensor<2x?x4xf32>) -> tensor<2x?x12xf32> {
  // CHECK-NOT: tensor.concat
  // CHECK-COUNT-2: tensor.insert_slice
  %c = tensor.concat dim(2) %x, %y : (tensor<2x?x8xf32>, tensor<2x?x4xf32>) -> tensor<2x?x12xf32>
  return %c : tensor<2x?x12xf32>
}

// CHECK-LABEL: func.func @rowwise_stays
func.func @rowwise_stays(%x: tensor<2x8xf32>) -> tensor<2x8xf32> {
  // CHECK-NEXT: gru.activation %{{.*}} {kind = #gru.act<softmax>} : tensor<2x8xf32>
  %y = gru.activation %x {kind = #gru.act<softmax>} : tensor<2x8xf32>
  return %y : tensor<2x8xf32>
}
