//===- Passes.td - passes of the target halide ----------------*- tablegen -*-===//

#ifndef GRU_LOWERING_HALIDE_PASSES_TD
#define GRU_LOWERING_HALIDE_PASSES_TD

include "mlir/Pass/PassBase.td"

def ConvertToHalidePass : Pass<"convert-gru-to-halide", "::mlir::ModuleOp"> {
  let summary = "hands steps and packed products to Halide";
  let description = [{
    Every `gru.step` and `gru.packed_dense` on buffers becomes a call of a
    function that is declared only. The attribute `gru.halide` of the declaration
    says what Halide is to generate for it: the kind, the arguments and their
    layout, the activations, and the schedule. Equal operations on equally laid
    out buffers share a function; the time loop around a step stays.

    ```mlir
    gru.step <all> projection(%p : ...) kernel(%u : ...) new_state(%n : ...) state(%h : ...) {...}
    // becomes
    call @halide_step_all_b1_h4(%p, %u, %h, %n) : (...) -> ()
    func.func private @halide_step_all_b1_h4(...) attributes {gru.halide = {kind = "all",
        operands = ["projection", "kernel", "state", "new_state"],
        schedule = "lanes=16 units=16 rows=1 tile=1 unroll=1 outer=units", ...}}
    ```

    What Halide does not take stays as it is, with a remark: row-wise
    activations, f16 and bf16. `schedule` is the text of a file of schedules
    (see docs/halide.md); a line that names no function is an error. With `cuda`
    functions are for a device and have schedules for one; f64 is refused then.
  }];
  let options = [
    Option<"schedule", "schedule", "std::string", "", "Schedules given by hand, one line each">,
    Option<"vectorBytes", "vector-bytes", "int64_t", "64", "Bytes of a vector register">,
    Option<"registers", "registers", "int64_t", "32", "Number of vector registers">,
    Option<"cuda", "cuda", "bool", "false", "Functions that launch kernels on a device">
  ];
  let statistics = [Statistic<"numConverted", "converted", "Operations handed to Halide">,
                    Statistic<"numRefused", "refused", "Operations that Halide does not take">];
  let dependentDialects = ["::mlir::func::FuncDialect"];
}

def ShareRowsPass : Pass<"gru-share-rows", "::mlir::func::FuncOp"> {
  let summary = "cuts what Halide takes into parts of rows, for threads";
  let description = [{
    A step or a product that takes long enough becomes an `scf.parallel` whose
    iterations compute some rows each: of the batch, or of time where the batch is
    small. Every part reads all weights, so it has four rows at least. Sizes that
    were constants stay so: where the rows cannot be cut evenly, the first parts
    have one more and operations of their own.

    ```mlir
    gru.step <all> projection(%p : memref<32x...>) ... state(%h : memref<32x256xf32>)
    // becomes, with threads = 2
    scf.parallel (%part) = (%c0) to (%c2) step (%c1) {
      %first = arith.muli %part, %c16 : index
      %hp = memref.subview %h[%first, 0] [16, 256] [1, 1] : ...
      gru.step <all> projection(%pp : memref<16x...>) ... state(%hp : memref<16x256xf32, ...>)
    }
    ```

    What Halide does not take stays as it is: the cpu target's passes share its
    units. A row is computed as without threads, so results keep their bits.
  }];
  let options = [Option<"threads", "threads", "int64_t", "1", "Threads that may share an operation">];
  let statistics = [Statistic<"numShared", "shared", "Operations that were cut">];
  let dependentDialects = ["::mlir::scf::SCFDialect", "::mlir::memref::MemRefDialect",
                           "::mlir::arith::ArithDialect"];
}

def LowerHalideCallsPass : Pass<"gru-lower-halide-calls", "::mlir::ModuleOp"> {
  let summary = "passes buffers to Halide's functions as halide_buffer_t";
  let description = [{
    A buffer becomes a pointer to a `halide_buffer_t` on the stack. What its type
    fixes is stored once, at the top of the function; the address and dynamic
    sizes and strides before each call. Runs after `gru-plan-memory`, which has
    to see the buffers that a call uses.
  }];
  let dependentDialects = ["::mlir::LLVM::LLVMDialect", "::mlir::memref::MemRefDialect",
                           "::mlir::arith::ArithDialect"];
}

#endif // GRU_LOWERING_HALIDE_PASSES_TD
