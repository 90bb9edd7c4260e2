// RUN: %gru-opt-no-roundtrip %s --convert-gru-packed-dense-to-vector -verify-diagnostics -o %t

func.func @tensors(%x: tensor<4x8xf32>, %W: tensor<2x8x1x16xf32>, %y: tensor<4x20xf32>) -> tensor<4x20xf32> {
  // expected-error @below {{is on tensors, expected memrefs}}
  %0 = gru.packed_dense ins(%x, %W : tensor<4x8xf32>, tensor<2x8x1x16xf32>) outs(%y : tensor<4x20xf32>)
      {activation = #gru.act<tanh>} -> tensor<4x20xf32>
  return %0 : tensor<4x20xf32>
}
