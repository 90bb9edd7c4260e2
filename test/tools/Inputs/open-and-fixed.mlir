func.func @main(%x: tensor<1x?x3xf32> {gru.name = "x"}, %m: tensor<1x5xi1> {gru.name = "m"},
                %W: tensor<3x12xf32> {gru.weight = "W"}, %U: tensor<4x12xf32> {gru.weight = "U"}) -> (tensor<1x4xf32> {gru.name = "y"}) {
  %0:3 = gru.gru %x kernel(%W, %U) mask(%m : tensor<1x5xi1>)
      {activation = #gru.act<tanh>, recurrent_activation = #gru.act<sigmoid>}
      : tensor<1x?x3xf32>, tensor<3x12xf32>, tensor<4x12xf32> -> tensor<1x?x4xf32>, tensor<1x4xf32>, tensor<1x4xf32>
  return %0#1 : tensor<1x4xf32>
}
