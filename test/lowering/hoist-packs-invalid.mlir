// RUN: %gru-opt-no-roundtrip %s --gru-hoist-packs -split-input-file -verify-diagnostics -o %t

func.func @input(%x: tensor<4x12xf32> {gru.name = "x"}) -> tensor<1x4x3x8xf32> {
  // expected-error @below {{packs a value that is not a weight, expected a function argument with gru.weight}}
  %0 = gru.pack %x {part = #gru.part<all>, gates = 3, width = 8} : tensor<4x12xf32> -> tensor<1x4x3x8xf32>
  return %0 : tensor<1x4x3x8xf32>
}

// -----

func.func @computed(%w: tensor<4x12xf32> {gru.weight = "w"}) -> tensor<1x4x3x8xf32> {
  %y = gru.activation %w {kind = #gru.act<tanh>} : tensor<4x12xf32>
  // expected-error @below {{packs a value that is not a weight, expected a function argument with gru.weight}}
  %0 = gru.pack %y {part = #gru.part<all>, gates = 3, width = 8} : tensor<4x12xf32> -> tensor<1x4x3x8xf32>
  return %0 : tensor<1x4x3x8xf32>
}
