#ifndef STROBE_DERIVATION_LINEAR_FORM_H
#define STROBE_DERIVATION_LINEAR_FORM_H

/** \file
 * A sum of Exprs with constant coefficients in which equal Exprs cancel: the
 * exponents of the algebra, where m - m must vanish. */

#include "algorithm/ReductionGraph.h"

namespace strobe {

class LinearForm {
public:
    struct Part {
        Expr atom;
        double coefficient;
    };
    std::vector<Part> parts;
    double constant = 0;

    LinearForm() = default;
    /** Takes sums, differences and multiples by constants apart. */
    explicit LinearForm(const Expr &e);

    bool is_zero() const {
        return parts.empty() && constant == 0;
    }
    LinearForm plus(const LinearForm &other, double scale = 1) const;
    LinearForm minus(const LinearForm &other) const {
        return plus(other, -1);
    }
    /** What both have alike: atoms with the same coefficient. */
    LinearForm common(const LinearForm &other) const;
    bool operator==(const LinearForm &other) const {
        return minus(other).is_zero();
    }
    /** The sum, those with a positive coefficient first. */
    Expr expr(Type t) const;

private:
    void add(const Expr &e, double scale);
    void add_atom(const Expr &atom, double scale);
};

}  // namespace strobe

#endif
