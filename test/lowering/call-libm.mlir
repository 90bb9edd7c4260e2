// RUN: %gru-opt %s --gru-call-libm | FileCheck %s

// CHECK-DAG: func.func private @exp(f64) -> f64
// CHECK-DAG: func.func private @expm1(f64) -> f64

// CHECK-LABEL: func.func @calls
func.func @calls(%x: f64) -> f64 {
  // CHECK: call @exp(
  %0 = math.exp %x : f64
  // CHECK: call @expm1(
  %1 = math.expm1 %0 : f64
  return %1 : f64
}

// Vectors element by element.
// CHECK-LABEL: func.func @vector
func.func @vector(%x: vector<2xf64>) -> vector<2xf64> {
  // CHECK-COUNT-2: call @tanh(
  // CHECK-NOT: math.tanh
  %0 = math.tanh %x : vector<2xf64>
  return %0 : vector<2xf64>
}

// What a CPU has instructions for stays.
// CHECK-LABEL: func.func @no_calls
func.func @no_calls(%x: f64) -> f64 {
  // CHECK-NEXT: math.sqrt
  // CHECK-NEXT: math.absf
  %0 = math.sqrt %x : f64
  %1 = math.absf %0 : f64
  return %1 : f64
}
