// RUN: %gru-opt %s --gru-choose-backends="target=cudnn require-backend=cudnn" --verify-diagnostics --split-input-file
// RUN: not %gru-opt %s --gru-choose-backends="target=auto require-backend=cudnn cudnn-problem=absent gpu-problem=absent" --split-input-file 2>&1 | FileCheck %s

// Strict mode fails where the layer would go elsewhere, and says what to change.

func.func @activation(%x: tensor<2x5x3xf32>, %W: tensor<3x12xf32>, %U: tensor<4x12xf32>) -> tensor<2x5x4xf32> {
  // expected-error @+2 {{require_backend is 'cudnn', but the layer is compiled for 'gpu': activation is relu, cuDNN has only tanh (set activation='tanh')}}
  // CHECK: compiled for 'cpu': activation is relu, cuDNN has only tanh (set activation='tanh')
  %s, %l, %h = gru.gru %x kernel(%W, %U)
      {activation = #gru.act<relu>, recurrent_activation = #gru.act<sigmoid>, reset_after}
      : tensor<2x5x3xf32>, tensor<3x12xf32>, tensor<4x12xf32> -> tensor<2x5x4xf32>, tensor<2x4xf32>, tensor<2x4xf32>
  return %s : tensor<2x5x4xf32>
}

// -----

// Accepted, unless there is no device.
// CHECK: compiled for 'cpu': absent (run on a machine with an NVIDIA GPU
func.func @eligible(%x: tensor<2x5x3xf32>, %W: tensor<3x12xf32>, %U: tensor<4x12xf32>) -> tensor<2x5x4xf32> {
  %s, %l, %h = gru.gru %x kernel(%W, %U)
      {activation = #gru.act<tanh>, recurrent_activation = #gru.act<sigmoid>, reset_after}
      : tensor<2x5x3xf32>, tensor<3x12xf32>, tensor<4x12xf32> -> tensor<2x5x4xf32>, tensor<2x4xf32>, tensor<2x4xf32>
  return %s : tensor<2x5x4xf32>
}
