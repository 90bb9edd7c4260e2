// RUN: %gru-opt-no-roundtrip %s --gru-lower-entry -split-input-file -verify-diagnostics -o %t

// expected-error @below {{has results, expected buffers (see gru-bind-buffers)}}
func.func @results(%x: memref<4xf32> {gru.name = "x"}) -> f32 {
  %c = arith.constant 0.0 : f32
  return %c : f32
}
