// RUN: %gru-opt %s --gru-choose-backends="target=cudnn" --verify-diagnostics

// What a device that was asked for does not take is said.

func.func @layer(%x: tensor<2x5x3xf32>, %W: tensor<3x12xf32>, %U: tensor<4x12xf32>) -> tensor<2x5x4xf32> {
  // expected-remark @+1 {{cudnn: reset_after is False, cuDNN applies the reset gate after the product only, so gpu is used}}
  %s, %l, %h = gru.gru %x kernel(%W, %U)
      {activation = #gru.act<tanh>, recurrent_activation = #gru.act<sigmoid>}
      : tensor<2x5x3xf32>, tensor<3x12xf32>, tensor<4x12xf32> -> tensor<2x5x4xf32>, tensor<2x4xf32>, tensor<2x4xf32>
  return %s : tensor<2x5x4xf32>
}

func.func @mask(%x: tensor<2x5x3xf32>, %m: tensor<2x5xi1>, %W: tensor<3x12xf32>, %U: tensor<4x12xf32>) -> tensor<2x5x4xf32> {
  // expected-remark @+1 {{cudnn: takes the calls whose mask is right-padded, gpu the others}}
  %s, %l, %h = gru.gru %x kernel(%W, %U) mask(%m : tensor<2x5xi1>)
      {activation = #gru.act<tanh>, recurrent_activation = #gru.act<sigmoid>, reset_after}
      : tensor<2x5x3xf32>, tensor<3x12xf32>, tensor<4x12xf32> -> tensor<2x5x4xf32>, tensor<2x4xf32>, tensor<2x4xf32>
  return %s : tensor<2x5x4xf32>
}

func.func @large(%x: tensor<2x5x3xf32>, %W: tensor<3x6144xf32>, %U: tensor<2048x6144xf32>) -> tensor<2x5x2048xf32> {
  // expected-remark @+2 {{cudnn: reset_after is False}}
  // expected-remark @+1 {{gpu: recurrent weights stay in registers for up to 1024 units, found 2048; they are in shared memory where they fit}}
  %s, %l, %h = gru.gru %x kernel(%W, %U)
      {activation = #gru.act<tanh>, recurrent_activation = #gru.act<sigmoid>}
      : tensor<2x5x3xf32>, tensor<3x6144xf32>, tensor<2048x6144xf32> -> tensor<2x5x2048xf32>, tensor<2x2048xf32>, tensor<2x2048xf32>
  return %s : tensor<2x5x2048xf32>
}
