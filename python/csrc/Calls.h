#ifndef STROBE_PYTHON_CALLS_H
#define STROBE_PYTHON_CALLS_H

/** \file
 * A call of an operator: whether a program takes its tensors, and running it on them. */

#include "Programs.h"

#include <torch/csrc/stable/tensor.h>

namespace strobe {

/** Halide's type of a tensor's elements; an undefined one if it has none. */
Halide::Type type_of(const torch::stable::Tensor &tensor);

/** What is asked of a tensor once a call. A tensor without dimensions counts as one of a single element. */
struct __attribute__((visibility("hidden"))) View {
    const torch::stable::Tensor *tensor;
    ShapeView shape;
    const int64_t *strides;

    explicit View(const torch::stable::Tensor &t);
    /** Innermost first. */
    int64_t size(int64_t d) const {
        return shape.sizes[shape.rank - 1 - d];
    }
    int64_t stride(int64_t d) const {
        return strides[shape.rank - 1 - d];
    }
};

/** The tensors and scalars of one call, which must outlive it, and the sizes that a program would give its outputs. */
class __attribute__((visibility("hidden"))) Call {
    const std::vector<torch::stable::Tensor> &tensors;
    const std::vector<double> &scalars;
    std::vector<View> views;
    std::vector<ShapeView> shapes;
    std::vector<std::vector<int64_t>> sizes;  // of the outputs, outermost first

    std::vector<torch::stable::Tensor> allocate_outputs(const TextAlgorithm &a, bool &empty) const;
    std::vector<torch::stable::Tensor> run_on_host(Program &program) const;
    std::vector<torch::stable::Tensor> run_on_device(Program &program) const;

public:
    /** Throws UserError if there are no tensors. */
    Call(const std::vector<torch::stable::Tensor> &tensors, const std::vector<double> &scalars);

    /** Innermost first. */
    std::vector<std::vector<int64_t>> input_sizes() const;

    bool fits(const Program &program);
    /** Throws what is wrong with arguments that do not fit. */
    [[noreturn]] void refuse(const TextAlgorithm &a) const;
    /** Runs the program that fitted last, where the tensors are. */
    std::vector<torch::stable::Tensor> run(Program &program) const;
};

}  // namespace strobe

#endif
