// RUN: %gru-opt-no-roundtrip %s --gru-specialize="batch=2 timesteps=5" -split-input-file -verify-diagnostics -o %t

// expected-error @below {{input 'x': batch is 3 in the model, asked for 2}}
func.func @batch(%x: tensor<3x?x3xf32> {gru.name = "x"}) {
  return
}

// -----

// expected-error @below {{input 'x': timesteps is 7 in the model, asked for 5}}
func.func @timesteps(%x: tensor<?x7x3xf32> {gru.name = "x"}) {
  return
}
