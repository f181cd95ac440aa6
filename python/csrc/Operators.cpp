// The operators of torch.ops.strobe that take any algorithm, through LibTorch's stable ABI: this folder is
// compiled once and serves torch 2.10 and later. Those of Generators: Named.cpp.

#include "Calls.h"

#include <torch/csrc/stable/library.h>

namespace {

using torch::stable::Tensor;
using namespace strobe;

std::vector<Tensor> attention(std::string algorithm, std::vector<Tensor> tensors, std::vector<double> scalars) {
    Program &program = program_of(algorithm);
    Call call(tensors, scalars);
    if (!call.fits(program)) {
        call.refuse(program.algorithm());
    }
    return call.run(program);
}

std::vector<Tensor> of_family(int64_t family, std::vector<Tensor> tensors, std::vector<double> scalars) {
    Call call(tensors, scalars);
    Program *program = find_in_family(family, [&](Program &p) { return call.fits(p); });
    return program ? call.run(*program) : std::vector<Tensor>();
}

}  // namespace

STABLE_TORCH_LIBRARY(strobe, m) {
    m.def("attention(str algorithm, Tensor[] tensors, float[] scalars) -> Tensor[]");
    // The first program of the family that the arguments fit; nothing if there is none. Eager calls of the Python
    // package use it: a number takes less time to pass than a text.
    m.def("_of_family(int family, Tensor[] tensors, float[] scalars) -> Tensor[]");
}

STABLE_TORCH_LIBRARY_IMPL(strobe, CPU, m) {
    m.impl("attention", TORCH_BOX(&attention));
    m.impl("_of_family", TORCH_BOX(&of_family));
}

STABLE_TORCH_LIBRARY_IMPL(strobe, CUDA, m) {
    m.impl("attention", TORCH_BOX(&attention));
    m.impl("_of_family", TORCH_BOX(&of_family));
}
