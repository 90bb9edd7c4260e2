func.func @main(%x: tensor<9x4x20xf32> {gru.name = "x"}, %W: tensor<20x60xf32> {gru.weight = "kernel"},
                %U: tensor<20x60xf32> {gru.weight = "recurrent_kernel"}, %b: tensor<2x60xf32> {gru.weight = "bias"})
    -> (tensor<9x20xf32> {gru.name = "state"}) {
  %y, %last, %state = gru.gru %x kernel(%W, %U) bias(%b : tensor<2x60xf32>)
      {activation = #gru.act<tanh>, recurrent_activation = #gru.act<sigmoid>, reset_after}
      : tensor<9x4x20xf32>, tensor<20x60xf32>, tensor<20x60xf32>
      -> tensor<9x4x20xf32>, tensor<9x20xf32>, tensor<9x20xf32>
  return %state : tensor<9x20xf32>
}
