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

std::vector<Tensor> run_fitting(int64_t family, const std::vector<Tensor> &tensors, const std::vector<double> &scalars) {
    Call call(tensors, scalars);
    Program *program = find_in_family(family, [&](Program &p) { return call.fits(p); });
    return program ? call.run(*program) : std::vector<Tensor>();
}

std::vector<Tensor> of_family(int64_t family, std::vector<Tensor> tensors, std::vector<double> scalars) {
    return run_fitting(family, tensors, scalars);
}

/** The same for one scalar. The schema tells how many tensors there are; where no program fits, all outputs are undefined. */
void call_family(StableIValue *stack, uint64_t num_inputs, uint64_t num_outputs) {
    using torch::stable::detail::to, torch::stable::detail::from;
    std::vector<Tensor> tensors;
    tensors.reserve(num_inputs - 2);
    for (uint64_t n = 1; n + 1 < num_inputs; n++) {
        tensors.push_back(to<Tensor>(stack[n]));
    }
    std::vector<Tensor> outputs = run_fitting(to<int64_t>(stack[0]), tensors, {to<double>(stack[num_inputs - 1])});
    outputs.resize(num_outputs);
    for (size_t n = 0; n < num_outputs; n++) {
        stack[n] = from(outputs[n]);
    }
}

constexpr int least_call_tensors = 3, most_call_tensors = 8, most_call_outputs = 3;

/** For _call_N_M: N tensors, M outputs. */
template<typename Use>
void for_each_call(const Use &use) {
    for (int tensors = least_call_tensors; tensors <= most_call_tensors; tensors++) {
        for (int outputs = 1; outputs <= most_call_outputs; outputs++) {
            use("_call_" + std::to_string(tensors) + "_" + std::to_string(outputs), tensors, outputs);
        }
    }
}

std::string call_schema(const std::string &name, int tensors, int outputs) {
    std::string schema = name + "(int family";
    for (int n = 0; n < tensors; n++) {
        schema += ", Tensor t" + std::to_string(n);
    }
    schema += ", float scalar) -> ";
    for (int n = 0; n < outputs; n++) {
        schema += n ? ", Tensor" : outputs > 1 ? "(Tensor" : "Tensor";
    }
    return outputs > 1 ? schema + ")" : schema;
}

void implement_calls(torch::stable::detail::StableLibrary &m) {
    for_each_call([&](const std::string &name, int, int) { m.impl(name.c_str(), &call_family); });
}

}  // namespace

STABLE_TORCH_LIBRARY(strobe, m) {
    m.def("attention(str algorithm, Tensor[] tensors, float[] scalars) -> Tensor[]");
    // The first program of the family that the arguments fit; nothing if there is none. Eager calls of the Python
    // package use these: a number takes less time to pass than a text, and tensors one by one less than a list.
    m.def("_of_family(int family, Tensor[] tensors, float[] scalars) -> Tensor[]");
    for_each_call([&](const std::string &name, int tensors, int outputs) { m.def(call_schema(name, tensors, outputs).c_str()); });
}

STABLE_TORCH_LIBRARY_IMPL(strobe, CPU, m) {
    m.impl("attention", TORCH_BOX(&attention));
    m.impl("_of_family", TORCH_BOX(&of_family));
    implement_calls(m);
}

STABLE_TORCH_LIBRARY_IMPL(strobe, CUDA, m) {
    m.impl("attention", TORCH_BOX(&attention));
    m.impl("_of_family", TORCH_BOX(&of_family));
    implement_calls(m);
}

// Their callers make sure that no gradient is asked for: what autograd would do on the way costs more than the rest.
STABLE_TORCH_LIBRARY_IMPL(strobe, AutogradCPU, m) {
    m.impl("_of_family", TORCH_BOX(&of_family));
    implement_calls(m);
}

STABLE_TORCH_LIBRARY_IMPL(strobe, AutogradCUDA, m) {
    m.impl("_of_family", TORCH_BOX(&of_family));
    implement_calls(m);
}
