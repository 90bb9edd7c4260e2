// One GRU layer as MLIR: 3 features, 4 units, the whole sequence out. The
// weights are arguments; only their types are here.
func.func @main(%x: tensor<?x?x3xf32> {gru.name = "x"},
                %W: tensor<3x12xf32> {gru.weight = "gru/kernel"},
                %U: tensor<4x12xf32> {gru.weight = "gru/recurrent_kernel"},
                %b: tensor<2x12xf32> {gru.weight = "gru/bias"})
    -> (tensor<?x?x4xf32> {gru.name = "output_0"}) {
  %seq, %last, %state = gru.gru %x kernel(%W, %U) bias(%b : tensor<2x12xf32>)
      {activation = #gru.act<tanh>, recurrent_activation = #gru.act<sigmoid>, reset_after}
      : tensor<?x?x3xf32>, tensor<3x12xf32>, tensor<4x12xf32>
      -> tensor<?x?x4xf32>, tensor<?x4xf32>, tensor<?x4xf32>
  return %seq : tensor<?x?x4xf32>
}
