// RUN: %gru-opt %s --gru-eliminate-empty-tensors --canonicalize | FileCheck %s

// What is put together is computed in the parts of the caller's buffer, the first
// one, too.
// CHECK-LABEL: func.func @concatenation
// CHECK-SAME: %[[A:[a-z0-9]+]]: tensor<4x8xf32>, %[[B:[a-z0-9]+]]: tensor<4x8xf32>, %[[OUT:[a-z0-9]+]]: memref<4x16xf32>
func.func @concatenation(%a: tensor<4x8xf32>, %b: tensor<4x8xf32>, %out: memref<4x16xf32>) {
  // CHECK-NOT: tensor.empty
  // CHECK: %[[Y:.+]] = bufferization.to_tensor %[[OUT]]
  // CHECK: %[[LEFT:.+]] = tensor.extract_slice %[[Y]][0, 0]
  // CHECK: linalg.exp ins(%[[A]] : {{.*}} outs(%[[LEFT]] :
  // CHECK: %[[Z:.+]] = tensor.insert_slice %{{.*}} into %[[Y]][0, 0]
  // CHECK: %[[RIGHT:.+]] = tensor.extract_slice %[[Z]][0, 8]
  // CHECK: linalg.exp ins(%[[B]] : {{.*}} outs(%[[RIGHT]] :
  // CHECK-NOT: tensor.empty
  %e0 = tensor.empty() : tensor<4x8xf32>
  %0 = linalg.exp ins(%a : tensor<4x8xf32>) outs(%e0 : tensor<4x8xf32>) -> tensor<4x8xf32>
  %e1 = tensor.empty() : tensor<4x8xf32>
  %1 = linalg.exp ins(%b : tensor<4x8xf32>) outs(%e1 : tensor<4x8xf32>) -> tensor<4x8xf32>
  %e = tensor.empty() : tensor<4x16xf32>
  %2 = tensor.insert_slice %0 into %e[0, 0] [4, 8] [1, 1] : tensor<4x8xf32> into tensor<4x16xf32>
  %3 = tensor.insert_slice %1 into %2[0, 8] [4, 8] [1, 1] : tensor<4x8xf32> into tensor<4x16xf32>
  bufferization.materialize_in_destination %3 in restrict writable %out : (tensor<4x16xf32>, memref<4x16xf32>) -> ()
  return
}

// Without an empty tensor behind it, a part is copied.
// CHECK-LABEL: func.func @argument
// CHECK: tensor.insert_slice
func.func @argument(%a: tensor<4x8xf32>, %out: memref<4x16xf32>) {
  %e = tensor.empty() : tensor<4x16xf32>
  %0 = tensor.insert_slice %a into %e[0, 0] [4, 8] [1, 1] : tensor<4x8xf32> into tensor<4x16xf32>
  bufferization.materialize_in_destination %0 in restrict writable %out : (tensor<4x16xf32>, memref<4x16xf32>) -> ()
  return
}
