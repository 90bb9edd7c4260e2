// RUN: %gru-opt-no-roundtrip %s --gru-hoist-packs -split-input-file -verify-diagnostics -o %t

// expected-error @below {{weight "w" is 'tensor<?x12xf32>', expected a tensor of a fixed shape}}
func.func @open(%w: tensor<?x12xf32> {gru.weight = "w"}) -> tensor<?x12xf32> {
  return %w : tensor<?x12xf32>
}
