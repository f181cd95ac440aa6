#ifndef STROBE_DRIVER_INSTANCE_H
#define STROBE_DRIVER_INSTANCE_H

/** \file
 * Algorithms by name: every Halide Generator linked into the program. */

#include "Halide.h"

#include <map>
#include <string>
#include <vector>

namespace strobe {

/** One algorithm, built for one set of generator parameters. Build it again for
 * another schedule: a Pipeline is scheduled once. */
struct Instance {
    std::string name;
    Halide::Pipeline pipeline;
    std::vector<Halide::Parameter> inputs;  // buffers and scalars, in the order of declaration
    std::vector<Halide::Func> outputs;

    /** Null when there is no such input. */
    Halide::Parameter *input(const std::string &name);
    /** The arguments of the compiled function. */
    std::vector<Halide::Argument> arguments() const;
};

/** Sorted. */
std::vector<std::string> registered_algorithms();

/** \p params are generator parameters: {"dtype", "bf16"}, {"head_dim", "128"} ...
 * Throws UserError for an unknown algorithm or parameter, or a bad value. */
Instance build_algorithm(const std::string &name, const std::map<std::string, std::string> &params,
                         const Halide::Target &target);

}  // namespace strobe

#endif
