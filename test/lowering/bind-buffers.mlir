// RUN: %gru-opt %s --gru-bind-buffers | FileCheck %s

// Results become arguments that are written in place; what is dynamic is a
// symbol: a dimension of an input. -1 is symbol 0, -2 symbol 1.
// CHECK-LABEL: func.func @output
// CHECK-SAME: %[[X:[a-z0-9]+]]: memref<2x?x8xf32> {gru.dims = array<i64: 2, -1, 8>, gru.name = "x"},
// CHECK-SAME: %[[M:[a-z0-9]+]]: memref<2x?xi1> {gru.dims = array<i64: 2, -2>, gru.name = "m"},
// CHECK-SAME: %[[Y:[a-z0-9]+]]: memref<2x?x8xf32> {gru.dims = array<i64: 2, -1, 8>, gru.name = "output_0", gru.output},
// CHECK-SAME: %[[Z:[a-z0-9]+]]: memref<2x?xi1> {gru.dims = array<i64: 2, -2>, gru.name = "output_1", gru.output})
// CHECK-SAME: attributes {gru.symbols = [array<i64: 0, 1>, array<i64: 1, 1>]}
func.func @output(%x: tensor<2x?x8xf32> {gru.name = "x"}, %m: tensor<2x?xi1> {gru.name = "m"})
    -> (tensor<2x?x8xf32> {gru.name = "output_0"}, tensor<2x?xi1> {gru.name = "output_1"}) {
  // CHECK: %[[TX:.+]] = bufferization.to_tensor %[[X]] restrict : memref<2x?x8xf32>
  // CHECK: %[[TM:.+]] = bufferization.to_tensor %[[M]] restrict : memref<2x?xi1>
  %c1 = arith.constant 1 : index
  %t = tensor.dim %x, %c1 : tensor<2x?x8xf32>
  %e = tensor.empty(%t) : tensor<2x?x8xf32>
  // CHECK: %[[A:.+]] = linalg.exp ins(%[[TX]]
  %y = linalg.exp ins(%x : tensor<2x?x8xf32>) outs(%e : tensor<2x?x8xf32>) -> tensor<2x?x8xf32>
  // CHECK: bufferization.materialize_in_destination %[[A]] in restrict writable %[[Y]]
  // CHECK: bufferization.materialize_in_destination %[[TM]] in restrict writable %[[Z]]
  // CHECK: return{{$}}
  return %y, %m : tensor<2x?x8xf32>, tensor<2x?xi1>
}

// A state is read and written in its buffer and is no output.
// CHECK-LABEL: func.func @state
// CHECK-SAME: %[[H:[a-z0-9]+]]: memref<2x4xf32> {gru.dims = array<i64: 2, 4>, gru.name = "gru", gru.state = 0 : i64})
func.func @state(%x: tensor<2x4xf32> {gru.name = "x"}, %h: tensor<2x4xf32> {gru.name = "gru", gru.state = 0 : i64})
    -> (tensor<2x4xf32> {gru.state = 0 : i64}) {
  // CHECK: %[[T:.+]] = bufferization.to_tensor %[[H]] restrict writable
  // CHECK: %[[N:.+]] = arith.addf %{{.*}}, %[[T]]
  // CHECK: bufferization.materialize_in_destination %[[N]] in restrict writable %[[H]]
  %n = arith.addf %x, %h : tensor<2x4xf32>
  return %n : tensor<2x4xf32>
}

// A packed weight is read only and no symbol.
// CHECK-LABEL: func.func @packed
// CHECK-SAME: %[[P:[a-z0-9]+]]: memref<1x4x1x16xf32> {gru.packed = 64 : i64}
// CHECK-SAME: gru.symbols = [array<i64: 0, 1>]
func.func @packed(%x: tensor<2x?x4xf32> {gru.name = "x"}, %p: tensor<1x4x1x16xf32> {gru.packed = 64 : i64})
    -> (tensor<2x?x16xf32> {gru.name = "y"}) {
  %c1 = arith.constant 1 : index
  %t = tensor.dim %x, %c1 : tensor<2x?x4xf32>
  %e = tensor.empty(%t) : tensor<2x?x16xf32>
  // CHECK: bufferization.to_tensor %[[P]] restrict :
  %y = gru.packed_dense ins(%x, %p : tensor<2x?x4xf32>, tensor<1x4x1x16xf32>) outs(%e : tensor<2x?x16xf32>)
      {activation = #gru.act<linear>} -> tensor<2x?x16xf32>
  return %y : tensor<2x?x16xf32>
}

// Each result starts in a destination of its own: two that start from one
// tensor would be placed in one output's buffer.
// CHECK-LABEL: func.func @shared_destination
func.func @shared_destination(%x: tensor<2x4xf32> {gru.name = "x"})
    -> (tensor<2x4xf32> {gru.name = "output_0"}, tensor<2x4xf32> {gru.name = "output_1"}) {
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<2x4xf32>
  // CHECK: %[[E0:.+]] = tensor.empty()
  // CHECK: %[[E1:.+]] = tensor.empty()
  // CHECK: %[[F0:.+]] = linalg.fill {{.*}} outs(%[[E1]]
  // CHECK: %[[F1:.+]] = linalg.fill {{.*}} outs(%[[E0]]
  %f = linalg.fill ins(%zero : f32) outs(%e : tensor<2x4xf32>) -> tensor<2x4xf32>
  // CHECK: linalg.exp {{.*}} outs(%[[F0]]
  // CHECK: linalg.abs {{.*}} outs(%[[F1]]
  %a = linalg.exp ins(%x : tensor<2x4xf32>) outs(%f : tensor<2x4xf32>) -> tensor<2x4xf32>
  %b = linalg.abs ins(%x : tensor<2x4xf32>) outs(%f : tensor<2x4xf32>) -> tensor<2x4xf32>
  return %a, %b : tensor<2x4xf32>, tensor<2x4xf32>
}
