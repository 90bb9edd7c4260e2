// RUN: %gru-opt-no-roundtrip %s --gru-hoist-packs -split-input-file -verify-diagnostics -o %t

// expected-error @below {{weight "w" is 'tensor<?x12xf32>', expected a tensor of a fixed shape}}
func.func @open(%w: tensor<?x12xf32> {gru.weight = "w"}) -> tensor<?x12xf32> {
  return %w : tensor<?x12xf32>
}

// -----

func.func @lists(%k: tensor<1x4x3x16xf32>) -> tensor<1x3x5xi32> {
  // expected-error @below {{lists rows of a kernel that is not packed when a program is opened}}
  %0 = gru.nonzero_rows %k : tensor<1x4x3x16xf32> -> tensor<1x3x5xi32>
  return %0 : tensor<1x3x5xi32>
}
