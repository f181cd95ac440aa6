#ifndef STROBE_ALGORITHM_AXIS_USAGE_H
#define STROBE_ALGORITHM_AXIS_USAGE_H

/** \file
 * Where a variable is passed on plainly, as an argument by itself. Two variables
 * that end in the same argument of the same Func index the same dimension; this,
 * and not their names, is what makes them one axis. */

#include "ReductionGraph.h"

#include <map>
#include <set>

namespace strobe {

/** True for a name that the user chose, false for Halide's own: _0, v12, r3, x$2. */
bool is_chosen_name(const std::string &name);

/** An argument of a Func or an input: its name and the argument's position. */
using Usage = std::pair<std::string, int>;

class AxisUsage {
    std::map<Usage, std::set<Usage>> known;

    void add(const Expr &e, const std::string &variable, std::set<Usage> &result);

public:
    /** All arguments that receive argument \p n of \p f, itself included. */
    const std::set<Usage> &of_argument(const Halide::Internal::Function &f, int n);
    /** All arguments that receive \p variable in \p exprs. */
    std::set<Usage> of_variable(const std::vector<Expr> &exprs, const std::string &variable);
    /** The name of the Var in whose place \p exprs first pass \p variable; "" if the user named none. */
    std::string var_name(const std::vector<Expr> &exprs, const std::string &variable) const;
};

}  // namespace strobe

#endif
