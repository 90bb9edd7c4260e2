//===- Passes.td - passes from gru layers to code -------------*- tablegen -*-===//
//
// In the order in which the pipelines run them; Pipelines.cpp puts them together.
//
//===----------------------------------------------------------------------===//

#ifndef GRU_LOWERING_PASSES_TD
#define GRU_LOWERING_PASSES_TD

include "mlir/Pass/PassBase.td"

//===----------------------------------------------------------------------===//
// Layer level
//===----------------------------------------------------------------------===//

def SpecializePass : Pass<"gru-specialize", "::mlir::func::FuncOp"> {
  let summary = "fixes the batch size and, where asked, the number of timesteps";
  let description = [{
    Gives the dynamic dimensions of a function's inputs and states the sizes
    that a program is compiled for, and infers the types of everything behind
    them anew.

    ```mlir
    func.func @main(%x: tensor<?x?x3xf32> {gru.name = "x"}, ...)
    // batch=2
    func.func @main(%x: tensor<2x?x3xf32> {gru.name = "x"}, ...)
    ```

    The first dimension of an input or state is the batch (unless
    `gru.batch_dim` says otherwise), the second the time where
    the input is a sequence: of rank 3, or of rank 2 and integers or booleans. A static dimension that disagrees is an error that names the
    input. An operation whose result cannot be inferred keeps its dynamic type
    behind a cast.
  }];
  let options = [
    Option<"batch", "batch", "int64_t", "0", "Batch size; 0 leaves it as it is">,
    Option<"timesteps", "timesteps", "int64_t", "0", "Timesteps; 0 leaves them dynamic">
  ];
  let dependentDialects = ["::mlir::tensor::TensorDialect"];
}

def LegalizePass : Pass<"gru-legalize", "::mlir::func::FuncOp"> {
  let summary = "reduces layers to what the lowerings know";
  let description = [{
    * `gru.cell` becomes a `gru.gru` of one timestep.
    * `lengths` becomes a mask (step t of row b is valid where t < lengths[b])
      with `zero_output_for_mask`, which is what ONNX and packed sequences mean.

    Nothing else changes: direction, layout and masks stay visible.
  }];
  let dependentDialects = ["::mlir::tensor::TensorDialect", "::mlir::linalg::LinalgDialect",
                           "::mlir::arith::ArithDialect"];
}

def PromoteToF64Pass : Pass<"gru-promote-to-f64", "::mlir::func::FuncOp"> {
  let summary = "computes everything in float64";
  let description = [{
    First pass of the reference target. Every floating-point value inside the
    function becomes f64; inputs are widened where they enter, outputs narrowed
    where they leave (unless `f64-outputs`), weights are cast when they are
    loaded. States become f64 altogether. What is rounded from f64 in between, as
    where a model in float64 holds a layer in float32, is still rounded.
  }];
  let options = [Option<"f64Outputs", "f64-outputs", "bool", "false", "Leave the outputs in f64">];
  let dependentDialects = ["::mlir::arith::ArithDialect"];
}

def ConvertLayersToSequencePass : Pass<"convert-gru-layers-to-sequence", "::mlir::func::FuncOp"> {
  let summary = "splits layers into packed weights, one projection, and the recurrence";
  let description = [{
    `gru.gru` becomes `gru.pack` of its weights, a `gru.packed_dense` that
    projects all timesteps at once, and a `gru.recur`. `gru.dense` becomes a
    pack and a `gru.packed_dense`. Results without a use are not computed; a
    `gru.reverse` behind a `go_backwards` layer folds into the time order.

    Here the block shape is chosen and recorded: the width W of a block of units
    (in the packed types) and the rows of the batch that are computed together
    (attribute `rows`). `width` and `rows` override the choice.

    A recurrent kernel that is marked as `gru.sparse`, of 64 units or more, gets
    blocks of 64 bytes and `gru.nonzero_rows` of its packs, which the recurrence
    takes as `kernel_rows`: zeros are then left out of the products.

    Dropout masks multiply the input in front of the projection; with a mask per
    gate (implementation 1) there are three projections. Recurrent dropout is
    refused with an error.
  }];
  let options = [
    Option<"vectorBytes", "vector-bytes", "int64_t", "64", "Bytes of a vector register">,
    Option<"registers", "registers", "int64_t", "32", "Number of vector registers">,
    Option<"threads", "threads", "int64_t", "1", "Threads that may share an operation">,
    Option<"width", "width", "int64_t", "0", "Units per block; 0 chooses">,
    Option<"rows", "rows", "int64_t", "0", "Rows computed together; 0 chooses">
  ];
  let dependentDialects = ["::gru::GRUDialect", "::mlir::tensor::TensorDialect", "::mlir::linalg::LinalgDialect",
                           "::mlir::arith::ArithDialect"];
}

def TimeLayersPass : Pass<"gru-time-layers", "::mlir::func::FuncOp"> {
  let summary = "writes how long each layer takes into outputs";
  let description = [{
    Reads the processor's counter in front of and behind the operations of each
    layer and adds an output for it: the ticks, the floating-point operations, the
    bytes that were read and written, and how many of these are different ones. Sizes
    that only a run knows are counted in the run. A last output, without a layer's name, is of the whole run.

    ```mlir
    gru.recur kernels(%Up : memref<4x64x3x16xf32>) ...   // layer "gru"
    ```

    becomes

    ```mlir
    %0 = llvm.call_intrinsic "llvm.readcyclecounter"() : () -> i64
    gru.recur kernels(%Up : memref<4x64x3x16xf32>) ...
    %1 = llvm.call_intrinsic "llvm.readcyclecounter"() : () -> i64
    %ticks = arith.subi %1, %0 : i64
    memref.store %ticks, %profile[%c0] : memref<4xi64>   // output "profile:gru"
    ```
  }];
  let options = [Option<"clock", "clock", "std::string",
                        "\"llvm.readcyclecounter\"", "LLVM's intrinsic to read">];
  let dependentDialects = ["::mlir::arith::ArithDialect",
                           "::mlir::LLVM::LLVMDialect",
                           "::mlir::memref::MemRefDialect"];
}

def NarrowWeightsPass : Pass<"gru-narrow-weights", "::mlir::func::FuncOp"> {
  let summary = "stores float32 kernels as bf16";
  let description = [{
    A large layer at a small batch waits for its weights, so half the bytes are close
    to half the time. Steps and products widen what they load and compute in f32 as
    before; biases, states and activations keep their type.

    Recurrent kernels, and kernels of products of few rows, are rounded to nearest even when a program is opened.

    ```mlir
    %Up = gru.pack %U {part = #gru.part<all>, gates = 3, width = 16}
        : tensor<64x192xf32> -> tensor<4x64x3x16xbf16>
    ```

    Weights of other types and those that the program computes itself stay as they
    are.
  }];
  let dependentDialects = ["::gru::GRUDialect"];
}

def QuantizeLayersPass : Pass<"gru-quantize-layers", "::mlir::func::FuncOp"> {
  let summary = "multiplies bytes in recurrent layers";
  let description = [{
    Kernels and recurrent kernels of float32 become bytes with a scale for each column
    (`gru.quantized_pack`), and what they are multiplied with, the input and in each
    step the state, bytes with a scale for each row (`gru.quantize_rows`). The sums are
    integers and exact; scales, biases, activations and states stay float32.

    ```mlir
    %p = gru.packed_dense ins(%x, %Wp : tensor<1x?x42xf32>, tensor<4x42x3x16xf32>) ...
    // becomes
    %xb, %xs = gru.quantize_rows ins(%x : tensor<1x?x42xf32>) ...
    %p = gru.packed_dense ins(%xb, %Wb : tensor<1x?x48xi8>, tensor<4x12x3x64xi8>) scales(%xs, %Ws : ...) ...
    ```

    Left alone, with a remark where it is a matter of the layer:

    * layers of other types, and weights that the program computes itself
    * recurrent dropout, which gives each gate a state of its own
    * layers whose recurrent kernel has fewer than `min-bytes` in float32: it stays in
      the nearest cache, and quantizing the state takes what shorter products save
    * projections of an input of fewer than four features
  }];
  let options = [Option<"minBytes", "min-bytes", "int64_t", "32768", "Recurrent kernels of fewer bytes stay float32">];
  let statistics = [Statistic<"numQuantized", "quantized", "Layers whose recurrence multiplies bytes">];
  let dependentDialects = ["::gru::GRUDialect", "::mlir::tensor::TensorDialect"];
}

//===----------------------------------------------------------------------===//
// Weights and buffers
//===----------------------------------------------------------------------===//

def HoistPacksPass : Pass<"gru-hoist-packs", "::mlir::func::FuncOp"> {
  let summary = "moves the packing of weights to load time";
  let description = [{
    Each distinct `gru.pack` of a weight argument becomes an argument
    `{gru.packed = OFFSET}` into one blob, and rows of the function's pack
    program: strided copies that the runtime executes once, when a program is
    opened. A weight that is used otherwise is copied as it is. The weight
    arguments themselves disappear; `gru.weights` lists their names and types.

    ```mlir
    func.func @main(..., %U: tensor<64x192xf32> {gru.weight = "gru/recurrent_kernel"}) {
      %Up = gru.pack %U {part = #gru.part<all>, gates = 3, width = 16} : ...
    // becomes
    func.func @main(..., %Up: tensor<4x64x3x16xf32> {gru.packed = 0}) attributes {
      gru.pack_program = [{weight = 0, offset = 0, extents = [4, 64, 3, 16], ...} ]}
    ```

    A pack of anything else, such as a kernel that is an input of the model,
    becomes a `linalg.generic` that does the same in every run.

    `gru.nonzero_rows` of a pack becomes an argument and a row of the program as
    well, marked `list_rows`; of anything else it is refused with an error.
  }];
  let statistics = [Statistic<"numPacks", "packs", "Packs moved to load time">];
  let dependentDialects = ["::gru::GRUDialect"];
}

def BindBuffersPass : Pass<"gru-bind-buffers", "::mlir::func::FuncOp"> {
  let summary = "gives arguments and results the caller's buffers";
  let description = [{
    Tensor arguments become memrefs that the caller owns; results become memref
    arguments that are written in place (`bufferization.materialize_in_destination`).
    Inputs and weights are read only; a state is read and written in its buffer.

    Records `gru.symbols` (which dimension of which input each dynamic size is)
    and, per output, the symbols of its dynamic dimensions. An output whose size
    does not follow from the inputs is an error.
  }];
  let dependentDialects = ["::mlir::bufferization::BufferizationDialect", "::mlir::memref::MemRefDialect",
                           "::mlir::tensor::TensorDialect"];
}

def EliminateEmptyTensorsPass : Pass<"gru-eliminate-empty-tensors", "::mlir::ModuleOp"> {
  let summary = "computes results and parts of concatenations where they are wanted";
  let description = [{
    `eliminate-empty-tensors` of the bufferization dialect, with the results of the
    function first: what a concatenation puts together is computed in the parts of
    the caller's buffer. In the order of the operations the first part would be given
    a place in a tensor that is then not the result.
  }];
  let dependentDialects = ["::mlir::bufferization::BufferizationDialect", "::mlir::tensor::TensorDialect"];
}

def TensorOpsToLinalgPass : Pass<"convert-gru-to-linalg", "::mlir::func::FuncOp"> {
  let summary = "turns activations and reversals of whole tensors into linalg";
  let description = [{
    A pointwise `gru.activation` on a tensor becomes a `linalg.generic` around
    the scalar one; `gru.reverse` becomes a `linalg.generic` that reads from the
    end. Row-wise activations stay (see `convert-gru-rowwise-to-loops`).
  }];
  let dependentDialects = ["::gru::GRUDialect", "::mlir::linalg::LinalgDialect", "::mlir::tensor::TensorDialect",
                           "::mlir::arith::ArithDialect"];
}

def FuseElementwisePass : Pass<"gru-fuse-elementwise", "::mlir::func::FuncOp"> {
  let summary = "makes one loop of elementwise operations that follow each other";
  let description = [{
    A `linalg.generic` without reductions that only one other one reads, element
    by element, becomes part of that one: the bias, the normalisation and the
    activation behind a convolution are one pass over its result. No number
    changes. Nothing is fused that would then be computed more than once, such
    as a factor per channel.
  }];
  let dependentDialects = ["::mlir::linalg::LinalgDialect", "::mlir::tensor::TensorDialect",
                           "::mlir::arith::ArithDialect", "::mlir::affine::AffineDialect"];
}

def RowwiseToLoopsPass : Pass<"convert-gru-rowwise-to-loops", "::mlir::func::FuncOp"> {
  let summary = "turns row-wise activations of whole tensors into loops";
  let description = [{
    softmax, log_softmax and sparsemax of a tensor become a copy and, for each
    row of the last axis, loops over that row in place.
  }];
  let dependentDialects = ["::mlir::bufferization::BufferizationDialect", "::mlir::memref::MemRefDialect",
                           "::mlir::scf::SCFDialect", "::mlir::arith::ArithDialect", "::mlir::math::MathDialect"];
}

def ShareKernelsPass : Pass<"gru-share-kernels", "::mlir::ModuleOp"> {
  let summary = "makes one function of operations that differ in their buffers only";
  let description = [{
    What a compilation costs is the code that it makes, and networks repeat
    themselves. Recurrences, products and loops of the same shapes, strides and
    attributes become calls of one private function, whose arguments are the
    buffers, before any of them is turned into loops:

    ```mlir
    gru.packed_dense ins(%x, %W : ...) outs(%y : memref<33x8xf32>) {...}
    gru.packed_dense ins(%y, %V : ...) outs(%z : memref<33x8xf32, strided<[16, 1], offset: 8>>) {...}
    gru.packed_dense ins(%u, %W : ...) outs(%v : memref<33x8xf32, strided<[16, 1]>>) {...}
    ```

    becomes

    ```mlir
    gru.packed_dense ins(%x, %W : ...) outs(%y : memref<33x8xf32>) {...}
    %0 = memref.cast %z : ... to memref<33x8xf32, strided<[16, 1], offset: ?>>
    call @gru_shared(%y, %V, %0) : ...
    %1 = memref.cast %v : ...
    call @gru_shared(%u, %W, %1) : ...
    ```

    A fill that a sum starts from goes with it. Constants are no arguments. Left
    alone is what a call would not make smaller (a loop over a few instructions),
    what occurs less than `many-copies` times and takes less than `long-work`
    multiplications, so that the call would show, and what has buffers whose
    strides only a run knows.
  }];
  let options = [Option<"manyCopies", "many-copies", "int64_t", "3",
                        "Copies from which on even short operations are shared">,
                 Option<"longWork", "long-work", "int64_t", "8192",
                        "Multiplications from which on two copies are shared">];
  let statistics = [Statistic<"numFunctions", "functions", "Functions made">,
                    Statistic<"numCalls", "calls", "Operations that became calls">];
  let dependentDialects = ["::mlir::func::FuncDialect", "::mlir::LLVM::LLVMDialect",
                           "::mlir::memref::MemRefDialect"];
}

def PlanMemoryPass : Pass<"gru-plan-memory", "::mlir::ModuleOp"> {
  let summary = "places all allocations in one block of scratch memory";
  let description = [{
    Every `memref.alloc` becomes a `memref.view` of a new argument
    `{gru.scratch}`, so that a run allocates nothing. Buffers that are not alive
    at the same time share bytes. Sizes may be products of the dynamic sizes of
    the inputs; buffers of the same product form a region, in which offsets are
    a fixed number of bytes per unit, rounded up to 64. `gru.scratch_regions` on
    the function lists the regions as [bytes, symbol, ...].

    What a private function allocates (see gru-share-kernels) its callers allocate
    for it, so that it is planned with theirs.

    An allocation inside a loop, or of a size that does not follow from the
    inputs, is an error.
  }];
  let statistics = [Statistic<"numBuffers", "buffers", "Buffers placed">];
  let dependentDialects = ["::mlir::memref::MemRefDialect", "::mlir::arith::ArithDialect"];
}

//===----------------------------------------------------------------------===//
// CPU: loops and vectors
//===----------------------------------------------------------------------===//

def FuseProjectionPass : Pass<"gru-fuse-projection", "::mlir::func::FuncOp"> {
  let summary = "moves the input projection of a recurrence into its steps";
  let description = [{
    A projection of all timesteps in front of the loop reads its weight once for
    many timesteps, but its result is written and read again: for one row that
    is little and the weight is much, for many rows it is the other way round.
    So where there is only one timestep (streaming), or `rows` rows and more in
    the batch, the recurrence takes the product's operands instead of its
    result, and each step starts its sums with the inputs. The order of the sums
    does not change, nor does any bit of the result.

    A recurrence with a row-wise activation or in a half type keeps its
    projection, and so does one whose projection has another use.

    ```mlir
    %p = gru.packed_dense ins(%x, %W : ...) bias(%b : ...) outs(%e : ...) {activation = #gru.act<linear>} -> ...
    %h = gru.recur ins(%p : ...) kernels(%U : ...) ...
    ```

    becomes

    ```mlir
    %h = gru.recur input(%x : ...) input_kernel(%W : ...) input_bias(%b : ...) kernels(%U : ...) ...
    ```
  }];
  let options = [Option<"rows", "rows", "int64_t", "16", "Rows of a batch from which on it pays">];
}

def RunSideBySidePass : Pass<"gru-run-side-by-side", "::mlir::func::FuncOp"> {
  let summary = "runs independent recurrences on a thread each";
  let description = [{
    Recurrences that need nothing of each other, as the two directions of a
    Bidirectional are, become the iterations of an `scf.parallel`, and each then
    runs through all its timesteps without waiting for other threads:

    ```mlir
    scf.parallel (%i) = (%c0) to (%c2) step (%c1) {
      scf.index_switch %i
      case 0 {
        gru.recur ...
      }
      default {
        gru.recur ...
      }
    }
    ```

    What stands between them is moved in front if it needs none of their results,
    and behind them otherwise. Recurrences stay as they are where one of them takes
    much longer than the others, where all of them are over before threads have come
    together, and where their steps are better shared by columns
    (`convert-gru-step-to-vector`): for more threads than recurrences, or when
    the kernel of one alone is more than a core's own caches hold.
  }];
  let options = [Option<"threads", "threads", "int64_t", "1", "Number of threads">];
  let statistics = [Statistic<"numGroups", "num-groups", "Groups of recurrences that run side by side">];
  let dependentDialects = ["::mlir::scf::SCFDialect", "::mlir::arith::ArithDialect"];
}

def ConvertRecurToLoopsPass : Pass<"convert-gru-recur-to-loops", "::mlir::func::FuncOp"> {
  let summary = "turns the recurrence into a loop over timesteps around gru.step";
  let description = [{
    Makes the time loop with its direction, masks and resets. The state lives in
    a padded double buffer (one buffer without reset_after, where the second
    phase of a step may write in place) and is copied back once at the end.

    With `skip-masked` a step in which the mask leaves no row is not computed: the
    state and the outputs are carried over. So padding costs what the longest row of
    a batch takes.

    With `unroll` the loop is unrolled: fully where the timesteps are static and
    at most `unroll-budget`, otherwise by a factor, with a remark.
  }];
  let options = [Option<"unrollBudget", "unroll-budget", "int64_t", "16", "Most steps to unroll fully">,
                 Option<"skipMasked", "skip-masked", "bool", "false", "Skip steps without an unmasked row">];
  let dependentDialects = ["::gru::GRUDialect", "::mlir::scf::SCFDialect", "::mlir::memref::MemRefDialect",
                           "::mlir::arith::ArithDialect"];
}

def ConvertStepToVectorPass : Pass<"convert-gru-step-to-vector", "::mlir::func::FuncOp"> {
  let summary = "turns a step into register-blocked vector code";
  let description = [{
    Loops over blocks of units, then over blocks of `rows` rows of the batch.
    For each the accumulators of all gates start from the projection (and the
    candidate's recurrent bias), one loop over the units of the previous state
    adds the products, and the activations, the blend with the old state, masks
    and stores happen in registers, on tiles of up to four registers at once so
    that their latencies overlap. The sums of several rows pass through a small
    buffer, and a loop finishes them: a fraction of the code. Where registers have no
    room for the accumulators of all gates of so many rows, the gates follow each
    other.

    Of `rows` rows that the mask all leaves out, the state is carried over without
    computing anything, so a batch that is sorted by length costs what its sequences
    are long.

    With a row-wise activation the accumulators are stored instead
    (`preactivations`), and a second pass over the rows finishes the step.
  }];
  let options = [Option<"vectorBytes", "vector-bytes", "int64_t", "64", "Bytes of a vector register">,
                 Option<"registers", "registers", "int64_t", "32", "Number of vector registers">,
                 Option<"threads", "threads", "int64_t", "1", "Threads that may share an operation">];
  let dependentDialects = ["::gru::GRUDialect", "::mlir::scf::SCFDialect", "::mlir::memref::MemRefDialect",
                           "::mlir::vector::VectorDialect", "::mlir::arith::ArithDialect", "::mlir::math::MathDialect"];
}

def ConvertPackedDenseToVectorPass : Pass<"convert-gru-packed-dense-to-vector", "::mlir::func::FuncOp"> {
  let summary = "turns a packed product into register-blocked vector code";
  let description = [{
    Loops over blocks of columns, then over blocks of `rows` rows; the
    accumulators start from the bias, one loop over K adds the products, the
    activation is applied in registers and the result stored once. Where registers
    have no room for the accumulators of all gates, the gates follow each other.
  }];
  let options = [Option<"vectorBytes", "vector-bytes", "int64_t", "64", "Bytes of a vector register">,
                 Option<"registers", "registers", "int64_t", "32", "Number of vector registers">,
                 Option<"threads", "threads", "int64_t", "1", "Threads that may share an operation">];
  let dependentDialects = ["::gru::GRUDialect", "::mlir::scf::SCFDialect", "::mlir::memref::MemRefDialect",
                           "::mlir::vector::VectorDialect", "::mlir::arith::ArithDialect", "::mlir::math::MathDialect"];
}

def ConvertQuantizeRowsToVectorPass : Pass<"convert-gru-quantize-rows-to-vector", "::mlir::func::FuncOp"> {
  let summary = "turns the quantization of rows into vector code";
  let description = [{
    Two loops over each row: the largest magnitude, as the largest integer among the
    bits without their sign, so that what is not a number is the largest; then one
    multiply-add into the range of floats that are whole numbers, whose lowest byte is
    the result.
  }];
  let options = [Option<"vectorBytes", "vector-bytes", "int64_t", "64", "Bytes of a vector register">,
                 Option<"threads", "threads", "int64_t", "1", "Threads that may share an operation">];
  let dependentDialects = ["::gru::GRUDialect", "::mlir::scf::SCFDialect", "::mlir::memref::MemRefDialect",
                           "::mlir::vector::VectorDialect", "::mlir::arith::ArithDialect"];
}

def LowerDotBytesPass : Pass<"gru-lower-dot-bytes", "::mlir::func::FuncOp"> {
  let summary = "spells products of bytes with what the CPU has";
  let description = [{
    `instruction` is what `gru.dot_bytes` becomes; vectors that it has no form for, and
    `none`, become shifts, products and sums of i32. All are the same exact sums.

    | instruction | CPUs | vectors of |
    | --- | --- | --- |
    | `vpdpbusd` | AVX-512 VNNI, AVX-VNNI | 16, 32, 64 bytes |
    | `pmaddwd` | x86-64 with AVX2 or less; bytes are taken apart into even and odd ones of 16 bits | 16, 32 bytes; 64 |
    | `usdot` | AArch64 with i8mm | 16 bytes |

    ```mlir
    %s = gru.dot_bytes %a, %w, %t : vector<64xi8>, vector<16xi32>
    // instruction=vpdpbusd
    %s = llvm.call_intrinsic "llvm.x86.avx512.vpdpbusd.512"(%t, %a, %w)
    ```
  }];
  let options = [Option<"instruction", "instruction", "std::string", "\"none\"", "vpdpbusd, pmaddwd, usdot or none">];
  let dependentDialects = ["::mlir::LLVM::LLVMDialect", "::mlir::vector::VectorDialect", "::mlir::arith::ArithDialect"];
}

def ConvertLinalgToVectorPass : Pass<"convert-linalg-to-vector", "::mlir::func::FuncOp"> {
  let summary = "turns structured loops on buffers into vector code";
  let description = [{
    One loop of a `linalg` operation becomes the lanes of vectors, the others
    stay loops; loops of one iteration vanish, and neighbours that run along one
    dimension in memory become one.

    * A parallel loop along which the results are contiguous. Sums of a
      reduction stay in registers, for several rows of another loop at once
      where the rows share an input's vector: the filters of a convolution, the
      rows of a matrix product. They start from a `linalg.fill` without its being
      written.
    * Else a reduction loop along which the inputs are contiguous: a sum per
      lane, and a tree in the end.

    ```mlir
    linalg.generic {indexing_maps = [(m, w, c) -> (c, w), (m, w, c) -> (m, c), (m, w, c) -> (m, w)],
                    iterator_types = ["parallel", "parallel", "reduction"]} ...
    // becomes, for 8 filters m and 33 positions w
    scf.for %c = ... iter_args(...) {    // 24 sums
      %x = vector.load ... : vector<16xf32>   // and one more, and one of width 1
      %w = memref.load ...                    // 8 of them
      vector.fma ...                          // 24 of them
    ```

    A product that is added to the sum is rounded once, with it. What is left
    behind a multiple of the vector length is a vector of that many elements.

    Left alone, for `convert-linalg-to-loops`: bodies that read memory, booleans
    in memory, moves that no vector fits, such as transpositions, and sums of half
    types over what is contiguous.
  }];
  let options = [Option<"vectorBytes", "vector-bytes", "int64_t", "64", "Bytes of a vector register">,
                 Option<"registers", "registers", "int64_t", "32", "Number of vector registers">];
  let statistics = [Statistic<"numVectorized", "vectorized", "Operations turned into vector code">];
  let dependentDialects = ["::mlir::scf::SCFDialect", "::mlir::memref::MemRefDialect",
                           "::mlir::vector::VectorDialect", "::mlir::arith::ArithDialect"];
}

def RandomToLoopsPass : Pass<"convert-gru-random-to-loops", "::mlir::func::FuncOp"> {
  let summary = "draws dropout masks and noise in vectors";
  let description = [{
    `gru.dropout_mask` and `gru.random_normal` on tensors become a buffer and a loop
    over groups of 64 elements, each from one evaluation of the generator
    (Philox4x32-10) on vectors of 16 counters; what lies behind the last element is
    masked. Normal numbers are computed in float64 by additions, products,
    divisions and square roots alone, which are rounded alike everywhere. All
    targets use it, so what they draw is equal.
  }];
  let dependentDialects = ["::mlir::arith::ArithDialect", "::mlir::bufferization::BufferizationDialect",
                           "::mlir::math::MathDialect", "::mlir::memref::MemRefDialect", "::mlir::scf::SCFDialect",
                           "::mlir::tensor::TensorDialect", "::mlir::vector::VectorDialect"];
}

def LowerCopiesPass : Pass<"gru-lower-copies", "::mlir::func::FuncOp"> {
  let summary = "turns copies between buffers into vector loops";
  let description = [{
    Upstream lowers a strided `memref.copy` to a call into a runtime library,
    which compiled kernels do not have. Here it becomes loops with vectors along
    a contiguous last dimension.
  }];
  let options = [Option<"vectorBytes", "vector-bytes", "int64_t", "64", "Bytes of a vector register">];
  let dependentDialects = ["::mlir::scf::SCFDialect", "::mlir::memref::MemRefDialect",
                           "::mlir::vector::VectorDialect", "::mlir::arith::ArithDialect"];
}

def ExpandActivationsPass : Pass<"gru-expand-activations", "::mlir::func::FuncOp"> {
  let summary = "replaces activations of scalars and vectors by their formulas";
  let description = [{
    Writes the defining formula of each pointwise `gru.activation` with `arith`
    and `math`. The reference target stops here and leaves `math` to libm.
  }];
  let dependentDialects = ["::mlir::arith::ArithDialect", "::mlir::math::MathDialect"];
}

def ApproximateMathPass : Pass<"gru-approximate-math", "::mlir::func::FuncOp"> {
  let summary = "replaces transcendental functions in f32 by polynomials";
  let description = [{
    exp, expm1, tanh, log1p, log and erf on f32 scalars and vectors (f16 and bf16
    by way of f32) become straight-line code; sigmoid and tanh activations are
    taken directly, all others through their formulas.
    lowering/common/ApproximateMath.cpp states the error of each. f64 is left to
    libm.
  }];
  let dependentDialects = ["::mlir::arith::ArithDialect", "::mlir::math::MathDialect"];
}

def ExpandArithmeticPass : Pass<"gru-expand-arithmetic", "::mlir::func::FuncOp"> {
  let summary = "expands what LLVM's conversion or its code generator lack";
  let description = [{
    Upstream's arith-emulate-unsupported-floats (bf16), math-extend-to-supported-types
    and arith-expand, where there is an operation for them: divisions that round up
    or down, minima and maxima, small float types. Most kernels have none, and each
    of the three would look at every operation.
  }];
}

def CallLibmPass : Pass<"gru-call-libm", "::mlir::ModuleOp"> {
  let summary = "calls libm for the transcendental functions that are left";
  let description = [{
    exp, expm1, log, log1p, tanh and erf become calls, element by element. Only
    these: upstream's pass would also call square roots and absolute values, and
    upstream's conversion to LLVM would write expm1 as exp - 1, which loses all
    digits of a small argument. Kernels may call no other functions.
  }];
  let dependentDialects = ["::mlir::arith::ArithDialect", "::mlir::func::FuncDialect",
                           "::mlir::vector::VectorDialect"];
}

//===----------------------------------------------------------------------===//
// Reference
//===----------------------------------------------------------------------===//

def ConvertToReferenceLoopsPass : Pass<"convert-gru-to-reference-loops", "::mlir::func::FuncOp"> {
  let summary = "turns gru operations of every level into plain scalar loops";
  let description = [{
    The yardstick: each operation becomes the loops that its formula says,
    without blocking, packing or fusion. It takes layer operations as imported,
    and also packs, packed products, recurrences and steps, on tensors and on
    memrefs, so that any stage of another target's pipeline can be run and
    compared.
  }];
  let dependentDialects = ["::mlir::scf::SCFDialect", "::mlir::memref::MemRefDialect",
                           "::mlir::bufferization::BufferizationDialect", "::mlir::arith::ArithDialect",
                           "::mlir::math::MathDialect", "::mlir::tensor::TensorDialect"];
}

//===----------------------------------------------------------------------===//
// Entry
//===----------------------------------------------------------------------===//

def LowerCallsPass : Pass<"gru-lower-calls", "::mlir::ModuleOp"> {
  let summary = "passes buffers to private functions as pointers";
  let description = [{
    An argument of a private function that is a buffer becomes the address of its
    first element, and an index for each size that only a run knows. Strides are
    part of the type, offsets of the address.

    ```mlir
    call @gru_shared(%x, %y) : (memref<?x8xf32>, memref<33x8xf32, strided<[16, 1], offset: ?>>) -> ()
    ```

    becomes

    ```mlir
    %0 = builtin.unrealized_conversion_cast %x : memref<?x8xf32> to !llvm.ptr
    %1 = memref.dim %x, %c0 : memref<?x8xf32>
    %2 = builtin.unrealized_conversion_cast %y : memref<33x8xf32, strided<[16, 1], offset: ?>> to !llvm.ptr
    call @gru_shared(%0, %1, %2) : (!llvm.ptr, index, !llvm.ptr) -> ()
    ```

    gru-lower-accesses knows the addresses.
  }];
  let dependentDialects = ["::mlir::arith::ArithDialect", "::mlir::func::FuncDialect",
                           "::mlir::LLVM::LLVMDialect", "::mlir::memref::MemRefDialect"];
}

def LowerEntryPass : Pass<"gru-lower-entry", "::mlir::func::FuncOp"> {
  let summary = "gives the function the calling convention of a kernel";
  let description = [{
    The memref arguments become loads from one `gru_call` struct:
    `func.func @NAME(%call: !llvm.ptr, %thread: i32)`. What the caller must know
    (names, types, symbols, weights, pack program, scratch regions) is gathered
    in one attribute `gru.plan`, which the compiler serialises into the module.
  }];
  let options = [Option<"name", "name", "std::string", "\"gru_kernel\"", "Name of the entry point">];
  let dependentDialects = ["::mlir::LLVM::LLVMDialect", "::mlir::memref::MemRefDialect"];
}

def DistributePass : Pass<"gru-distribute", "::mlir::func::FuncOp"> {
  let summary = "gives the work of a kernel to a team of threads";
  let description = [{
    All members of a team run the kernel. What only computes indices each does for
    itself; the rest is divided into phases, of which one is finished before the
    next begins. An `scf.parallel`, as steps and products have it where it pays
    (option `threads` of their passes), is a phase whose iterations are its parts;
    the operations between two of them are a phase of one part. A member asks the
    team for parts until there are none:

    ```mlir
    scf.while : () -> i64 {
      %part = llvm.call %next(%team, %member, %parts) : ...
      %more = arith.cmpi sge, %part, %c0 : i64
      scf.condition(%more) %part : i64
    } do {
    ^bb0(%part: i64):
      ...
    }
    ```

    Which member computes a part makes no difference to the result. Without an
    `scf.parallel` the kernel stays as it is, for one thread. The loops become
    sequential where a whole run has so few multiplications (as the loops'
    `gru.products` say) that it is over before threads have come together, and,
    with a remark, where a value that is computed in a phase of one part is used
    outside of it.
  }];
  let options = [Option<"threads", "threads", "int64_t", "2", "Members of a team">];
  let dependentDialects = ["::mlir::LLVM::LLVMDialect", "::mlir::scf::SCFDialect", "::mlir::arith::ArithDialect"];
}

def LowerAccessesPass : Pass<"gru-lower-accesses", "::mlir::func::FuncOp"> {
  let summary = "turns loads and stores of buffers into those of pointers";
  let description = [{
    A buffer becomes a pointer to its first element, and an access the pointer
    plus one term per index. A term is computed where its index is, once for all
    accesses that share it, and the constant part is the access's own offset:

    ```mlir
    %v = vector.load %U[%block, %k, %c2, %c16] : memref<4x64x3x32xf32>, vector<16xf32>
    ```

    becomes, the first line outside of the loop over `k`,

    ```mlir
    %p = llvm.getelementptr inbounds %U[%block] : (!llvm.ptr, i64) -> !llvm.ptr, !llvm.array<6144 x f32>
    %q = llvm.getelementptr inbounds %p[%k] : (!llvm.ptr, i64) -> !llvm.ptr, !llvm.array<96 x f32>
    %r = llvm.getelementptr inbounds %q[80] : (!llvm.ptr) -> !llvm.ptr, f32
    %v = llvm.load %r {alignment = 4 : i64} : !llvm.ptr -> vector<16xf32>
    ```

    Masked accesses of half types become those of integers, which every machine has
    in one piece.

    The general conversion makes some ten operations of each access instead,
    which costs as much as the rest of the lowering. It is left what this pass
    leaves alone: buffers that do not lead back to an argument through views of
    known strides, and vectors of several dimensions. Where that leaves views,
    upstream's expansion of strided metadata and of affine maps follows.

    Needs structured control flow and the descriptors of gru-lower-entry.
  }];
  let dependentDialects = ["::mlir::LLVM::LLVMDialect", "::mlir::arith::ArithDialect",
                           "::mlir::affine::AffineDialect", "::mlir::memref::MemRefDialect"];
}

#endif // GRU_LOWERING_PASSES_TD
