#ifndef STROBE_TESTS_FUZZ_THREE_WAYS_H
#define STROBE_TESTS_FUZZ_THREE_WAYS_H

/** \file
 * One algorithm three ways: unscheduled, its tile program interpreted in exact arithmetic, and compiled for the CPU. */

#include "driver/Problem.h"

namespace strobe::test {

/** An algorithm with its data. */
struct Subject {
    Instance instance;
    Problem problem;
    std::string schedule;
};

/** Fails where the three differ by more than roundings. \p make gives a new Subject with the same data each time, as a
 * pipeline is scheduled once. \p show: prints the graph and the program. */
void expect_same(const std::string &name, const std::function<Subject()> &make, bool show = false);

}  // namespace strobe::test

#endif
