// RUN: %gru-opt %s --gru-promote-to-f64 | FileCheck %s --check-prefixes=CHECK,NARROW
// RUN: %gru-opt %s --gru-promote-to-f64="f64-outputs" | FileCheck %s --check-prefixes=CHECK,WIDE

// Inputs are widened, weights become f64 arguments that remember their type in
// the file, states are f64 altogether.
// CHECK-LABEL: func.func @main
// CHECK-SAME: %[[X:.+]]: tensor<2x?x3xf32> {gru.name = "x"}, %[[H:.+]]: tensor<2x4xf64> {gru.name = "gru", gru.state = 0 : i64}
// CHECK-SAME: %[[W:.+]]: tensor<3x12xf64> {gru.weight = "W", gru.weight_type = tensor<3x12xf32>}
// NARROW-SAME: -> (tensor<2x?x4xf32> {gru.name = "output_0"}, tensor<2x4xf64> {gru.state = 0 : i64})
// WIDE-SAME: -> (tensor<2x?x4xf64> {gru.name = "output_0"}, tensor<2x4xf64> {gru.state = 0 : i64})
func.func @main(%x: tensor<2x?x3xf32> {gru.name = "x"}, %h: tensor<2x4xf32> {gru.name = "gru", gru.state = 0 : i64},
                %W: tensor<3x12xf32> {gru.weight = "W"}, %U: tensor<4x12xf32> {gru.weight = "U"})
    -> (tensor<2x?x4xf32> {gru.name = "output_0"}, tensor<2x4xf32> {gru.state = 0 : i64}) {
  // CHECK: %[[WIDE:.+]] = arith.extf %[[X]] : tensor<2x?x3xf32> to tensor<2x?x3xf64>
  // CHECK: %[[SEQ:.+]], %{{.*}}, %[[STATE:.+]] = gru.gru %[[WIDE]] kernel(%[[W]], %{{.*}}) initial_state(%[[H]] : tensor<2x4xf64>)
  // CHECK-SAME: {activation = #gru.act<elu, alpha = 3.000000e-01>
  %seq, %last, %state = gru.gru %x kernel(%W, %U) initial_state(%h : tensor<2x4xf32>)
      {activation = #gru.act<elu, alpha = 0.3>, recurrent_activation = #gru.act<sigmoid>}
      : tensor<2x?x3xf32>, tensor<3x12xf32>, tensor<4x12xf32> -> tensor<2x?x4xf32>, tensor<2x4xf32>, tensor<2x4xf32>
  // NARROW: %[[OUT:.+]] = arith.truncf %[[SEQ]] : tensor<2x?x4xf64> to tensor<2x?x4xf32>
  // NARROW: return %[[OUT]], %[[STATE]]
  // WIDE: return %[[SEQ]], %[[STATE]]
  return %seq, %state : tensor<2x?x4xf32>, tensor<2x4xf32>
}

// CHECK-LABEL: func.func @constants_and_casts
func.func @constants_and_casts(%x: tensor<2xf16> {gru.name = "x"}, %n: tensor<2xi32> {gru.name = "n"}) -> tensor<2xf16> {
  // CHECK: %[[C:.+]] = arith.constant dense<[5.000000e-01, 2.500000e-01]> : tensor<2xf64>
  %c = arith.constant dense<[0.5, 0.25]> : tensor<2xf32>
  // CHECK-NOT: arith.extf %{{.*}} : tensor<2xf32>
  // CHECK: arith.addf %{{.*}}, %[[C]] : tensor<2xf64>
  %w = arith.extf %x : tensor<2xf16> to tensor<2xf32>
  %y = arith.addf %w, %c : tensor<2xf32>
  %z = arith.truncf %y : tensor<2xf32> to tensor<2xf16>
  return %z : tensor<2xf16>
}

// CHECK-LABEL: func.func @regions
func.func @regions(%x: tensor<2xf32> {gru.name = "x"}) -> tensor<2xf32> {
  %e = tensor.empty() : tensor<2xf32>
  // CHECK: ^bb0(%{{.*}}: f64, %{{.*}}: f64):
  %y = linalg.generic {indexing_maps = [affine_map<(d0) -> (d0)>, affine_map<(d0) -> (d0)>], iterator_types = ["parallel"]}
      ins(%x : tensor<2xf32>) outs(%e : tensor<2xf32>) {
  ^bb0(%a: f32, %b: f32):
    %m = arith.mulf %a, %a : f32
    linalg.yield %m : f32
  } -> tensor<2xf32>
  return %y : tensor<2xf32>
}

// CHECK-LABEL: func.func @rounding
func.func @rounding(%x: tensor<2xf64> {gru.name = "x"}) -> tensor<2xf64> {
  // CHECK: %[[F32:.+]] = arith.truncf %{{.*}} : tensor<2xf64> to tensor<2xf32>
  // CHECK: %[[A:.+]] = arith.extf %[[F32]] : tensor<2xf32> to tensor<2xf64>
  %f32 = arith.truncf %x : tensor<2xf64> to tensor<2xf32>
  // CHECK: arith.truncf %{{.*}} : tensor<2xf64> to tensor<2xf32>
  // CHECK: %[[F16:.+]] = arith.truncf %{{.*}} : tensor<2xf32> to tensor<2xf16>
  // CHECK: %[[B:.+]] = arith.extf %[[F16]] : tensor<2xf16> to tensor<2xf64>
  %f16 = arith.truncf %x : tensor<2xf64> to tensor<2xf16>
  %wide = arith.extf %f16 : tensor<2xf16> to tensor<2xf32>
  // CHECK: arith.addf %[[A]], %[[B]] : tensor<2xf64>
  %sum = arith.addf %f32, %wide : tensor<2xf32>
  // CHECK-NOT: arith.truncf
  %y = arith.extf %sum : tensor<2xf32> to tensor<2xf64>
  return %y : tensor<2xf64>
}
