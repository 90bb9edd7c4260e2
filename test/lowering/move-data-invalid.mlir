// RUN: %gru-opt %s --gru-move-data -verify-diagnostics

func.func @loop(%x: memref<4xf32> {gru.name = "x"}, %y: memref<4xf32> {gru.name = "y", gru.output}) {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c4 = arith.constant 4 : index
  // expected-error @+1 {{runs a device in a loop}}
  scf.for %i = %c0 to %c4 step %c1 {
    gru.device_kernel "a" items(%c4) reads(%x : memref<4xf32>) writes(%y : memref<4xf32>)
  }
  return
}
