#include "InputLoads.h"

namespace strobe {

using namespace Halide;
using namespace Halide::Internal;

namespace {

class FindElements : public IRVisitor {
    using IRVisitor::visit;
    void visit(const Call *op) override {
        if (op->call_type == Call::Image) {
            found.push_back(op);
        }
        IRVisitor::visit(op);
    }

public:
    std::vector<const Call *> found;
};

}  // namespace

std::vector<const Call *> input_elements(const Expr &e) {
    FindElements elements;
    if (e.defined()) {
        e.accept(&elements);
    }
    return elements.found;
}

}  // namespace strobe
