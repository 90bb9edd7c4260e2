// RUN: %gru-opt %s --gru-expand-activations --canonicalize | FileCheck %s

// CHECK-LABEL: func.func @tanh
func.func @tanh(%x: vector<16xf32>) -> vector<16xf32> {
  // CHECK-NEXT: math.tanh %{{.*}} : vector<16xf32>
  %y = gru.activation %x {kind = #gru.act<tanh>} : vector<16xf32>
  return %y : vector<16xf32>
}

// CHECK-LABEL: func.func @sigmoid
func.func @sigmoid(%x: f64) -> f64 {
  // CHECK: arith.negf
  // CHECK: %[[E:.+]] = math.exp
  // CHECK: %[[D:.+]] = arith.addf %[[E]], %[[ONE:.+]] :
  // CHECK: arith.divf %[[ONE]], %[[D]]
  %y = gru.activation %x {kind = #gru.act<sigmoid>} : f64
  return %y : f64
}

// Keras 2 and 3 differ in the numbers only.
// CHECK-LABEL: func.func @hard_sigmoid
func.func @hard_sigmoid(%x: f32) -> (f32, f32) {
  // CHECK-DAG: arith.constant 2.000000e-01 : f32
  // CHECK-DAG: arith.constant 0.16666{{[0-9]+}} : f32
  %y = gru.activation %x {kind = #gru.act<hard_sigmoid, alpha = 0.2, beta = 0.5>} : f32
  %z = gru.activation %x {kind = #gru.act<hard_sigmoid>} : f32
  return %y, %z : f32, f32
}

// Small types are computed in f32.
// CHECK-LABEL: func.func @small_types
func.func @small_types(%x: vector<8xf16>, %y: bf16) -> (vector<8xf16>, bf16) {
  // CHECK: arith.extf %{{.*}} : vector<8xf16> to vector<8xf32>
  // CHECK: math.tanh %{{.*}} : vector<8xf32>
  // CHECK: arith.truncf %{{.*}} : vector<8xf32> to vector<8xf16>
  // CHECK: arith.extf %{{.*}} : bf16 to f32
  %a = gru.activation %x {kind = #gru.act<tanh>} : vector<8xf16>
  %b = gru.activation %y {kind = #gru.act<gelu>} : bf16
  return %a, %b : vector<8xf16>, bf16
}

// Every kind has a formula.
// CHECK-LABEL: func.func @all_kinds
// CHECK-NOT: gru.activation
func.func @all_kinds(%x: f32) -> f32 {
  %1 = gru.activation %x {kind = #gru.act<relu, alpha = 0.1, beta = 6.0, gamma = 0.5>} : f32
  %2 = gru.activation %1 {kind = #gru.act<leaky_relu>} : f32
  %3 = gru.activation %2 {kind = #gru.act<elu>} : f32
  %4 = gru.activation %3 {kind = #gru.act<celu, alpha = 2.0>} : f32
  %5 = gru.activation %4 {kind = #gru.act<selu>} : f32
  %6 = gru.activation %5 {kind = #gru.act<softplus>} : f32
  %7 = gru.activation %6 {kind = #gru.act<softsign>} : f32
  %8 = gru.activation %7 {kind = #gru.act<squareplus>} : f32
  %9 = gru.activation %8 {kind = #gru.act<soft_shrink>} : f32
  %10 = gru.activation %9 {kind = #gru.act<hard_shrink>} : f32
  %11 = gru.activation %10 {kind = #gru.act<hard_tanh>} : f32
  %12 = gru.activation %11 {kind = #gru.act<tanh_shrink>} : f32
  %13 = gru.activation %12 {kind = #gru.act<sparse_plus>} : f32
  %14 = gru.activation %13 {kind = #gru.act<sparse_sigmoid>} : f32
  %15 = gru.activation %14 {kind = #gru.act<silu>} : f32
  %16 = gru.activation %15 {kind = #gru.act<gelu>} : f32
  %17 = gru.activation %16 {kind = #gru.act<exponential>} : f32
  %18 = gru.activation %17 {kind = #gru.act<hard_silu>} : f32
  %19 = gru.activation %18 {kind = #gru.act<mish>} : f32
  %20 = gru.activation %19 {kind = #gru.act<log_sigmoid>} : f32
  %21 = gru.activation %20 {kind = #gru.act<affine, alpha = 2.0, beta = 1.0>} : f32
  %22 = gru.activation %21 {kind = #gru.act<thresholded_relu>} : f32
  %23 = gru.activation %22 {kind = #gru.act<scaled_tanh, alpha = 1.7, beta = 0.6>} : f32
  %24 = gru.activation %23 {kind = #gru.act<linear>} : f32
  return %24 : f32
}
