// RUN: %gru-opt-no-roundtrip %s --gru-bind-buffers -split-input-file -verify-diagnostics -o %t

func.func @unknown_size(%x: tensor<?x8xf32> {gru.name = "x"}) -> (tensor<?x8xf32> {gru.name = "y"}) {
  %c0 = arith.constant 0 : index
  %c2 = arith.constant 2 : index
  %n = tensor.dim %x, %c0 : tensor<?x8xf32>
  %half = arith.divui %n, %c2 : index
  %y = tensor.empty(%half) : tensor<?x8xf32>
  // expected-error @below {{size of dimension 0 of result #0 does not follow from the inputs}}
  return %y : tensor<?x8xf32>
}

// -----

// expected-error @below {{result #0 is state 1, which no argument carries}}
func.func @state_without_argument(%x: tensor<2x4xf32> {gru.name = "x"}) -> (tensor<2x4xf32> {gru.state = 1 : i64}) {
  return %x : tensor<2x4xf32>
}

// -----

func.func @scalar_result(%x: tensor<2x4xf32> {gru.name = "x"}) -> f32 {
  %c = arith.constant 0.0 : f32
  // expected-error @below {{result #0 is not a ranked tensor}}
  return %c : f32
}

// -----

// expected-error @below {{has several blocks, expected one}}
func.func @blocks(%x: tensor<2x4xf32> {gru.name = "x"}) -> tensor<2x4xf32> {
  cf.br ^bb1
^bb1:
  return %x : tensor<2x4xf32>
}
