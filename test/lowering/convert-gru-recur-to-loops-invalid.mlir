// RUN: %gru-opt-no-roundtrip %s --convert-gru-recur-to-loops -split-input-file -verify-diagnostics -o %t

func.func @tensors(%p: tensor<5x2x1x3x16xf32>, %U: tensor<1x7x3x16xf32>, %h: tensor<2x7xf32>) -> tensor<2x7xf32> {
  // expected-error @below {{is on tensors, expected memrefs}}
  %0 = gru.recur ins(%p : tensor<5x2x1x3x16xf32>) kernels(%U : tensor<1x7x3x16xf32>) state(%h : tensor<2x7xf32>)
      {activation = #gru.act<tanh>, recurrent_activation = #gru.act<sigmoid>, order = #gru.order<forward>, reset_after} -> tensor<2x7xf32>
  return %0 : tensor<2x7xf32>
}

// -----

func.func @dynamic_batch(%p: memref<5x?x1x3x16xf32>, %U: memref<1x7x3x16xf32>, %h: memref<?x7xf32>) {
  // expected-error @below {{batch is dynamic, expected a fixed batch (see gru-specialize)}}
  gru.recur ins(%p : memref<5x?x1x3x16xf32>) kernels(%U : memref<1x7x3x16xf32>) state(%h : memref<?x7xf32>)
      {activation = #gru.act<tanh>, recurrent_activation = #gru.act<sigmoid>, order = #gru.order<forward>, reset_after}
  return
}
