#ifndef STROBE_EXECUTE_GENERATOR_ALGORITHM_H
#define STROBE_EXECUTE_GENERATOR_ALGORITHM_H

/** \file
 * A Halide Generator that is linked in, described as an algorithm text is: so that all
 * that runs texts runs Generators, too. */

#include "text/AlgorithmText.h"

#include <map>
#include <string>

namespace strobe {

/** Generator parameters by name, and whatever else is needed to build it again. */
struct GeneratorUse {
    std::string name;
    std::map<std::string, std::string> params;

    /** Tells any two uses apart, and from any algorithm text. */
    std::string key() const;
};

/** "causal dtype=bf16 head_dim=64": a name and parameters. Throws UserError for anything else. */
GeneratorUse read_generator_use(const std::string &text);

/** Names of its inputs and outputs, without building it. */
struct GeneratorArguments {
    std::vector<std::string> tensors, scalars, outputs;
    std::vector<bool> whole;  // scalars that are integers
};
GeneratorArguments generator_arguments(const std::string &name);

/** Builds it; the caller holds the compilers' mutex. Sizes are found in the algorithm: dimensions that one axis indexes have
 * that axis' size, and so have the outputs'; what is declared constant stays constant;
 * the others are free. Throws UserError where an output's size is not found so. */
TextAlgorithm generator_algorithm(const GeneratorUse &use);

/** How the tensors of a Generator show its parameters. */
struct GeneratorShape {
    std::vector<bool> typed;                               // tensors whose elements are of type dtype
    std::vector<std::pair<size_t, size_t>> keyed, valued;  // tensor, dimension: of size head_dim, value_dim
    std::vector<std::string> names;                        // of the tensors
};

/** Found by building the Generator with sizes that tell its parameters apart; once in a process. */
const GeneratorShape &generator_shape(const std::string &name);

/** The parameters (dtype, head_dim, value_dim) with which the Generator takes tensors of these types and
 * sizes, innermost first. Its other parameters keep their defaults. Throws UserError that names the tensor if there are
 * none. */
GeneratorUse use_for(const std::string &name, const std::vector<Halide::Type> &types,
                     const std::vector<std::vector<int64_t>> &sizes);

}  // namespace strobe

#endif
