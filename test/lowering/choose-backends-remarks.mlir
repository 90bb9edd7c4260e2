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
