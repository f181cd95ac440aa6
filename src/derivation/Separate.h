#ifndef STROBE_DERIVATION_SEPARATE_H
#define STROBE_DERIVATION_SEPARATE_H

/** \file
 * Separation: writes an Expr as a sum of terms whose one half depends on earlier
 * results and whose other half depends on the stream. This is the whole of rule R1
 * (finite separability) and of R2 (exponents). */

#include "Roles.h"
#include "Terms.h"

#include <map>

namespace strobe {

/** What references to reductions mean while a body is being separated. */
struct Knowledge {
    const ReductionGraph &graph;
    std::string stream;
    /** Values, over moments and pivots, of the reductions that are computed in the
     * same pass. Any other reference is a number by the time it is used. */
    std::map<std::string, Terms> values;
    Nonnegative nonnegative;
};

/** Thrown when a separation fails. Not an error: the blocking reductions can be
 * computed in an earlier pass. */
struct Blocked {
    Expr expr;                       // what mixes the stream with earlier results
    std::set<std::string> blockers;  // the reductions in it
    std::string reason;              // a clause about the Expr
};

/** What was taken for granted on the way, as clauses for facts. */
using Notes = std::vector<std::string>;

class Separator {
    const Knowledge &known;

    Terms literal(const Expr &e) const;
    Terms variable(const Expr &e);
    Terms sum(const Expr &e, const Expr &a, const Expr &b, bool subtract);
    Terms division(const Expr &e, const Expr &n, const Expr &d);
    Terms conversion(const Expr &e, const Expr &value);
    Terms selection(const Expr &e, const Expr &condition, const Expr &a, const Expr &b);
    Terms exponential(const Expr &e, const Expr &u);
    Terms other(const Expr &e);
    bool has_exponential(const Expr &e) const;
    bool has_guard(const Expr &e) const;
    [[noreturn]] void block(const Expr &e, const std::string &reason) const;

public:
    Notes notes;

    explicit Separator(const Knowledge &known) : known(known) {
    }

    bool streams(const Expr &e) const;
    /** Reductions of the same pass that \p e depends on, also through what is evaluated in a tile. */
    std::set<std::string> live(const Expr &e) const;

    Terms separate(const Expr &e);
    /** exp(u) as a single term: its scale, guard and power. */
    Term exponent(const Expr &u);
    /** A condition free of the stream, over moments and pivots. */
    Expr condition(const Expr &c);
    /** A value free of the stream, over moments and pivots. */
    Expr value(const Expr &e);
};

}  // namespace strobe

#endif
