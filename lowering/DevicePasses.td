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
    --explain` prints them.
  }];
  let options = [
    Option<"target", "target", "std::string", "\"auto\"", "Name of a backend, or auto">,
    Option<"requireBackend", "require-backend", "std::string", "", "Fail unless this backend takes every layer">,
    Option<"deviceProblem", "device-problem", "std::string", "", "Why auto can use no device; empty where it can">
  ];
}

#endif // GRU_LOWERING_DEVICE_PASSES_TD
