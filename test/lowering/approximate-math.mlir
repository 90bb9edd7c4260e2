// RUN: %gru-opt %s --gru-approximate-math | FileCheck %s

// On f32 none of the functions that libm would compute is left.
// CHECK-LABEL: func.func @functions
// CHECK-NOT: math.{{exp|expm1|tanh|log|log1p|erf}} {{.*}}f32
// CHECK: return
func.func @functions(%x: vector<16xf32>, %s: f32) -> (vector<16xf32>, f32) {
  %0 = math.exp %x : vector<16xf32>
  %1 = math.tanh %0 : vector<16xf32>
  %2 = math.log %1 : vector<16xf32>
  %3 = math.log1p %2 : vector<16xf32>
  %4 = math.expm1 %3 : vector<16xf32>
  %5 = math.erf %4 : vector<16xf32>
  %6 = math.tanh %s : f32
  return %5, %6 : vector<16xf32>, f32
}

// CHECK-LABEL: func.func @activations
// CHECK-NOT: gru.activation
// CHECK-NOT: math.{{exp|expm1|tanh|log|log1p|erf}} %
// CHECK: return
func.func @activations(%x: vector<8xf32>) -> vector<8xf32> {
  %0 = gru.activation %x {kind = #gru.act<tanh>} : vector<8xf32>
  %1 = gru.activation %0 {kind = #gru.act<sigmoid>} : vector<8xf32>
  %2 = gru.activation %1 {kind = #gru.act<mish>} : vector<8xf32>
  %3 = gru.activation %2 {kind = #gru.act<gelu>} : vector<8xf32>
  return %3 : vector<8xf32>
}

// f16 goes by way of f32.
// CHECK-LABEL: func.func @half
// CHECK: arith.extf %{{.*}} : vector<8xf16> to vector<8xf32>
// CHECK-NOT: math.tanh
// CHECK: arith.truncf %{{.*}} : vector<8xf32> to vector<8xf16>
func.func @half(%x: vector<8xf16>) -> vector<8xf16> {
  %0 = math.tanh %x : vector<8xf16>
  return %0 : vector<8xf16>
}

// f64 is left to libm.
// CHECK-LABEL: func.func @double
// CHECK-NEXT: math.exp %{{.*}} : f64
// CHECK: math.tanh %{{.*}} : f64
func.func @double(%x: f64) -> f64 {
  %0 = math.exp %x : f64
  %1 = math.tanh %0 : f64
  return %1 : f64
}
