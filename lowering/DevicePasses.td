//===- DevicePasses.td - choosing backends, and the device targets -*- tablegen -*-===//

#ifndef GRU_LOWERING_DEVICE_PASSES_TD
#define GRU_LOWERING_DEVICE_PASSES_TD

include "mlir/Pass/PassBase.td"

def ChooseBackendsPass : Pass<"gru-choose-backends", "::mlir::func::FuncOp"> {
  let summary = "records on each recurrent layer which backend takes it";
  let description = [{
    Asks every backend about each layer as it was imported and sets `gru.backend`
    to the first that accepts it, among those that `target` allows: for `cudnn`
    and `auto` cudnn, gpu, cpu; for `gpu` gpu, cpu.

    ```mlir
    %s, %l, %h = gru.gru %x kernel(%W, %U) {activation = #gru.act<relu>, ...}
    // target=cudnn
    %s, %l, %h = gru.gru %x kernel(%W, %U) {activation = #gru.act<relu>, gru.backend = "gpu", ...}
    ```

    `require-backend` makes every layer that another backend would take an
    error, which names the first condition that is not met and the edit that
    would meet it. lowering/backends/Backends.cpp has the conditions; `gru-opt
    --explain` prints them. What a device that was asked for leaves to others is a
    remark.
  }];
  let options = [
    Option<"target", "target", "std::string", "\"auto\"", "Name of a backend, or auto">,
    Option<"requireBackend", "require-backend", "std::string", "", "Fail unless this backend takes every layer">,
    Option<"cudnnProblem", "cudnn-problem", "std::string", "", "Why auto can use no cuDNN; empty where it can">,
    Option<"gpuProblem", "gpu-problem", "std::string", "", "Why auto can use no GPU; empty where it can">
  ];
}

def ConvertToCudnnPass : Pass<"convert-gru-to-cudnn", "::mlir::func::FuncOp"> {
  let summary = "turns layers that cuDNN takes into calls of its recurrent networks";
  let description = [{
    Layers with `gru.backend = "cudnn"` become `gru.device_rnn "cudnn"`. Merged
    into one, so that data stays where it is and cuDNN overlaps what it can:

    * two directions over one input, the backward one reversed afterwards
      (Bidirectional, whatever merges its outputs)
    * layers of one size, one after the other, when nothing else reads what
      passes between them; of two directions if it is their concatenation

    What is merged has one mask, one layout, and biases and initial states in all
    layers or in none. A single layer that goes backwards is not stacked.

    ```mlir
    %s, %l, %h = gru.gru %x kernel(%W, %U) bias(...) {gru.backend = "cudnn", ...} : ...
    return %s
    // becomes
    %e = tensor.empty(%t) : tensor<2x?x4xf32>
    %s = gru.device_rnn "cudnn" ins(%x : ...) weights(%W, %U, %b : ...) sequences(%e : ...) {...} -> ...
    return %s
    ```

    cuDNN takes lengths, not masks. A mask that is data is looked at when the
    program runs: `scf.if` around the call and, in its other branch, the layers as
    they were, for the backend that comes after cuDNN. With `required` there is no
    other branch: such a mask fails the run.
  }];
  let options = [Option<"required", "required", "bool", "false", "A mask may not send a run to another backend">];
  let statistics = [Statistic<"numCalls", "calls", "Calls of cuDNN">,
                    Statistic<"numLayers", "layers", "Layers that became part of a call">];
  let dependentDialects = ["::gru::GRUDialect", "::mlir::tensor::TensorDialect", "::mlir::scf::SCFDialect",
                           "::mlir::arith::ArithDialect", "::mlir::bufferization::BufferizationDialect"];
}

def ConvertToGPUPass : Pass<"convert-gru-to-gpu", "::mlir::func::FuncOp"> {
  let summary = "turns layers that our own kernel takes into device calls";
  let description = [{
    Each layer with `gru.backend = "gpu"` becomes a `gru.device_rnn "gpu"` of one
    cell, masks included.

    ```mlir
    %s, %l, %h = gru.gru %x kernel(%W, %U) bias(...) {gru.backend = "gpu", ...} : ...
    // becomes
    %s = gru.device_rnn "gpu" ins(%x : ...) weights(%W, %U, %b : ...) sequences(%e : ...) {...} -> ...
    ```
  }];
  let dependentDialects = ["::gru::GRUDialect", "::mlir::tensor::TensorDialect"];
}

def PlaceOnDevicePass : Pass<"gru-place-on-device", "::mlir::ModuleOp"> {
  let summary = "operations around device layers become kernels";
  let description = [{
    After bufferisation. What reads or writes a buffer of a `gru.device_rnn`, or of
    another operation that this pass has placed, becomes a `gru.device_kernel`, so
    that data does not travel between layers: copies, `gru.packed_dense` and linalg
    operations whose bodies are arithmetic on float32, integers and conditions.
    Other operations stay on the host: those in loops (row-wise activations),
    other types, functions without an approximation, and whoever writes masks, which
    the host reads.

    Views that a `gru.device_rnn` reads or writes become dense buffers and copies.

    ```mlir
    gru.device_rnn "gpu" ins(%x : ...) weights(...) sequences(%s : ...) {...}
    linalg.generic ... ins(%s : memref<2x?x4xf32>) outs(%y : memref<2x?x4xf32>) {...}
    // becomes
    gru.device_rnn "gpu" ins(%x : ...) weights(...) sequences(%s : ...) {...}
    gru.device_kernel "gru_kernel_0" items(%n) reads(%s : memref<2x?x4xf32>)
        writes(%y : memref<2x?x4xf32>) values(%t)
    ```
  }];
  let statistics = [Statistic<"numKernels", "kernels", "Operations that became kernels">];
  let dependentDialects = ["::gru::GRUDialect", "::mlir::gpu::GPUDialect", "::mlir::LLVM::LLVMDialect",
                           "::mlir::scf::SCFDialect", "::mlir::arith::ArithDialect", "::mlir::math::MathDialect",
                           "::mlir::memref::MemRefDialect"];
}

def MoveDataPass : Pass<"gru-move-data", "::mlir::func::FuncOp"> {
  let summary = "copies between buffers and their mirrors on the device";
  let description = [{
    Every buffer has a mirror on the device, where device operations read and write.
    This pass follows where each buffer's contents are valid and inserts a
    `gru.device_move` where the other side reads them, so that what passes from one
    device operation to the next does not move. Inputs and states start on the host,
    outputs and states end there; weights are on both sides. What code on the host
    reads or writes itself is marked `gru.on_host`: of the rest the runtime takes
    memory of the device as well.

    ```mlir
    gru.device_rnn "gpu" ins(%x : ...) ... sequences(%s : memref<2x?x4xf32>) {...}
    // with an input %x and an output %s becomes
    gru.device_move %x : memref<2x?x3xf32>
    gru.device_rnn "gpu" ins(%x : ...) ... sequences(%s : memref<2x?x4xf32>) {...}
    gru.device_move %s to_host : memref<2x?x4xf32>
    ```

    A device operation in a loop is an error.
  }];
  let statistics = [Statistic<"numMoves", "moves", "Copies from one side to the other">];
  let dependentDialects = ["::gru::GRUDialect", "::mlir::scf::SCFDialect"];
}

def MakeGPUKernelsPass : Pass<"gru-make-gpu-kernels", "::mlir::ModuleOp"> {
  let summary = "writes the kernels of each gru.device_rnn";
  let description = [{
    One `gpu.module` per `gru.device_rnn`, named by its attribute `code`.

    For `gpu` with the entries `gru_project`, the tiled product of all inputs with
    the kernel, and twice the recurrence for all timesteps, with a barrier over the
    whole grid after each step, in which a warp computes a unit, its lanes sharing the
    sum over the old state: `gru_layer_in_registers`, whose lanes keep the recurrent
    weights for all timesteps, and `gru_layer`, whose blocks keep them in shared
    memory where they fit. The runtime takes the first that fits the device.
    lowering/gpu/LayerKernel.h has the arguments.

    For `cudnn`, where masks or directions ask for it, with those that make Keras's
    results of cuDNN's: lowering/cudnn/SequenceKernels.h.

    Without `reset_after` a step has two halves with a barrier between, because
    the second product waits for r * h.
  }];
  let dependentDialects = ["::mlir::gpu::GPUDialect", "::mlir::LLVM::LLVMDialect", "::mlir::scf::SCFDialect",
                           "::mlir::arith::ArithDialect", "::mlir::math::MathDialect"];
}

def EmitPTXPass : Pass<"gru-emit-ptx", "::mlir::ModuleOp"> {
  let summary = "turns gpu modules into PTX, which goes into the calls";
  let description = [{
    Lowers each `gpu.module` of the passes before through upstream's gpu and
    nvvm dialects and LLVM's NVPTX backend, and replaces the attribute `code` of
    the operations that name it by its text. The driver compiles PTX for the
    device that it finds, so that one for an older `chip` runs on newer ones.
  }];
  let options = [Option<"chip", "chip", "std::string", "\"sm_80\"", "Least device that the code is for">];
  let dependentDialects = ["::mlir::gpu::GPUDialect", "::mlir::NVVM::NVVMDialect", "::mlir::LLVM::LLVMDialect",
                           "::mlir::cf::ControlFlowDialect", "::mlir::arith::ArithDialect",
                           "::mlir::math::MathDialect"];
}

def ConvertDeviceToCallsPass : Pass<"convert-gru-device-to-calls", "::mlir::func::FuncOp"> {
  let summary = "turns device operations into calls of the runtime";
  let description = [{
    What the runtime has to set up before the first run, sizes, flags and where
    the weights lie in their blob, is recorded in `gru.device_parts`, one entry per
    operation. The operation itself becomes a call through the session's device,
    a new argument `{gru.device}`, with the number of the entry, the timesteps and
    the addresses of the buffers in the order of the operands:

        input, initial states, mask, sequences, lasts, states

    of a `gru.device_rnn`; of a `gru.device_kernel` the items instead of timesteps,
    and what it reads, writes and the values. `gru.device_move` becomes a call of
    the session's device, too.

    Where a mask decides whether cuDNN is called, the other branch tells the device
    so, with the bitwise complement of the number and no buffers.

    A weight that is not packed as it is (see `gru-hoist-packs`) is an error.
  }];
  let options = [Option<"allowTF32", "allow-tf32", "bool", "false", "Let cuDNN and cuBLAS round float32 products">];
  let dependentDialects = ["::mlir::LLVM::LLVMDialect", "::mlir::memref::MemRefDialect",
                           "::mlir::arith::ArithDialect"];
}

#endif // GRU_LOWERING_DEVICE_PASSES_TD
