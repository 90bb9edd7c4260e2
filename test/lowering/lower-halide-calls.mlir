// RUN: %gru-opt %s --gru-lower-halide-calls --canonicalize | FileCheck %s

// What the type fixes is stored once, in front of the loop; in the loop only the
// address. A mask is bytes, and its stride is known at run time only.
// CHECK-LABEL: func.func @main
// CHECK-SAME: %[[A:[a-z0-9]+]]: memref<3x4xf32>, %[[M:[a-z0-9]+]]: memref<3xi1, strided<[?]>>
// CHECK: %[[ABUF:.+]] = llvm.alloca %{{.+}} x !llvm.struct<(i64, ptr, ptr, i64, i8, i8, i16, i32, ptr, ptr)>
// CHECK: %[[ADIMS:.+]] = llvm.alloca %c2{{.*}} x !llvm.struct<(i32, i32, i32, i32)>
// CHECK: scf.for
// CHECK: memref.extract_aligned_pointer_as_index %[[A]]
// CHECK: llvm.getelementptr %[[ABUF]][0, 2]
// CHECK: llvm.store
// CHECK: memref.extract_strided_metadata %[[M]]
// CHECK: %[[R:.+]] = func.call @halide_f(%[[ABUF]], %{{.+}}) : (!llvm.ptr, !llvm.ptr) -> i32
// CHECK: func.func private @halide_f(!llvm.ptr, !llvm.ptr) -> i32
func.func @main(%a: memref<3x4xf32>, %m: memref<3xi1, strided<[?]>>, %n: index) {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  scf.for %i = %c0 to %n step %c1 {
    func.call @halide_f(%a, %m) : (memref<3x4xf32>, memref<3xi1, strided<[?]>>) -> ()
  }
  return
}
func.func private @halide_f(memref<3x4xf32>, memref<3xi1, strided<[?]>>) attributes {gru.halide = {kind = "dense"}}

// Other calls stay.
// CHECK-LABEL: func.func @other
// CHECK: call @g(%{{.*}}) : (memref<4xf32>) -> ()
func.func @other(%a: memref<4xf32>) {
  call @g(%a) : (memref<4xf32>) -> ()
  return
}
func.func private @g(memref<4xf32>)
