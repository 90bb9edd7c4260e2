// RUN: %gru-opt-no-roundtrip %s --convert-gru-layers-to-sequence -split-input-file -verify-diagnostics -o %t

func.func @lengths(%x: tensor<1x5x3xf32>, %W: tensor<3x12xf32>, %U: tensor<4x12xf32>, %n: tensor<1xi32>) -> tensor<1x4xf32> {
  // expected-error @below {{lengths are not supported by this pass (run gru-legalize first)}}
  %0:3 = gru.gru %x kernel(%W, %U) lengths(%n : tensor<1xi32>)
      {activation = #gru.act<tanh>, recurrent_activation = #gru.act<sigmoid>}
      : tensor<1x5x3xf32>, tensor<3x12xf32>, tensor<4x12xf32> -> tensor<1x5x4xf32>, tensor<1x4xf32>, tensor<1x4xf32>
  return %0#2 : tensor<1x4xf32>
}
