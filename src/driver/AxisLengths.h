#ifndef STROBE_DRIVER_AXIS_LENGTHS_H
#define STROBE_DRIVER_AXIS_LENGTHS_H

/** \file
 * How long the axes of an algorithm are for a problem, and what sizes its inputs
 * and outputs have then. */

#include "Problem.h"
#include "derivation/Roles.h"

#include <optional>

namespace strobe {

struct InputSizes {
    std::vector<int> sizes;
    /** Greatest element that is a legal index, where this input indexes another one. */
    std::optional<int> greatest_index;
};

class AxisLengths {
    ReductionGraph graph;
    Roles roles;
    std::map<std::string, int> lengths;
    std::map<std::string, InputSizes> inputs;

    void find_inputs(const std::vector<Halide::Parameter> &parameters, const Problem &problem);

public:
    /** Throws UserError where the algorithm does not say how long an axis is. */
    AxisLengths(Instance &instance, const Problem &problem);

    /** Sizes of output \p n, counted as read_algorithm does: elements of a Tuple are outputs. */
    std::vector<int> output(size_t n) const;
    /** Multiply-adds of all contractions count two, masked or not. */
    double dense_flops() const;
    const InputSizes &input(const std::string &name) const {
        return inputs.at(name);
    }
};

}  // namespace strobe

#endif
