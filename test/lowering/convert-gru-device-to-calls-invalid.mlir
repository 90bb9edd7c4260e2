// RUN: %gru-opt %s --convert-gru-device-to-calls --verify-diagnostics

func.func @main(%x: memref<2x?x3xf32>, %W: memref<3x12xf32>, %U: memref<4x12xf32> {gru.packed = 192 : i64}, %h: memref<2x4xf32>) {
  // expected-error @+1 {{computes with a weight that is no trained weight of the model}}
  gru.device_rnn "cudnn" ins(%x : memref<2x?x3xf32>) weights(%W, %U : memref<3x12xf32>, memref<4x12xf32>)
      states(%h : memref<2x4xf32>)
      {activation = #gru.act<tanh>, layers = 1 : i64, recurrent_activation = #gru.act<sigmoid>, reset_after}
  return
}
