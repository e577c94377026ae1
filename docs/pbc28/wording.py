"""The page's text: figures stand in braces and come from the evidence."""

RESULT = """
Three classifiers (`wide20`, 1.1 million weights each), each trained with noise of its own level on the training
images only, certified on all {images} test images of PBC-28, at most {n_max} noise samples per image after selection:
"""

EVIDENCE = """
How to read one row, sigma 0.5, k 1, at r = 0.5: for {certified} of the {images} images the smoothed classifier
returns the reference label, and the votes certify that it does so under every perturbation with L2 norm below 0.5;
each such certificate is wrong with probability at most alpha = 0.001. In brackets: the exact 95 % interval of
{certified} in {images}. *Not attainable*: even unanimous votes certify no image beyond R_max = {limit}; this is a
limit of the sample budget, and is not 0 %. At k = 3 the label stays among the three most probable classes. It took
{passes} forward passes; a fixed number of samples would take {fixed}. The evidence can be checked without images or
torch:

```sh
smoothcert verify examples/pbc28
smoothcert table  examples/pbc28
```
"""

HEAD = """
# The reference run

<!-- written by python docs/pbc28/make.py from the evidence in examples/ -->

Real blood cells, one small classifier per noise level, and every step from training to memo done with the commands of
this package. The evidence is in [examples/pbc28](../examples/pbc28/README.md). `smoothcert verify examples/pbc28`
checks every bound and decision in seconds, without images, weights or torch. Words are explained in the
[glossary](glossary.md).

## The result

![Certified accuracy against L2 radius, k = 1, three noise levels](../examples/pbc28/results/figures/curve_k1.png)
"""

BEYOND = """
{images} images at three noise levels took {passes} forward passes, {fewer} times fewer than the {fixed} that a fixed
number of samples takes for the same guarantee, in {hours} hours on one to two CPU cores shared with other work (bf16,
{rate} samples per second on average). The run was interrupted and resumed {resumes} times. Once, about 2,700 results
were lost with the machine that had sampled them, after some of them had been looked at; they were sampled again from
the same seed, and therefore with the same noise. *Population* is a lower bound on the robust fraction of the
population, with 95 % confidence over images and noise, if these images are independent draws from it. *Joint* holds
for all rows at once; quote it when the row was chosen after the table was seen. Which images come from the same
patient is not known, so independence is an assumption here.
"""

READING = """
## How to read the table

* **sigma 0.5, k 1, r 0.5: {main}.** For {certified} of the {images} images the *smoothed* classifier at noise level
  0.5 returns the reference label, and the votes bound its probabilities so tightly that it returns that label under
  every perturbation with L2 norm below 0.5. For any fixed image, such a certificate is wrong with probability at most
  alpha = 0.001. The bracket is the exact 95 % interval of {certified} in {images}.
* **sigma 0.5, k 1, r 1.0: {far}.** The same votes, a larger ball. An image certified at 1.0 is also certified at 0.5
  and 0.25.
* **sigma 0.25, k 1, r 1.0: not attainable.** Even if all {n_max} samples agreed, no image could be certified beyond
  R_max = {limit}. This is a limit of the sample budget, not a finding about the classifier, and it is not 0 %.
* **sigma 0.5, k 3, r 0.5: {three}.** The reference label stays among the three most probable classes. No image counts
  as "wrong class" in this row, because the label itself is bounded, whatever the prediction.
* **sigma 1.0** trades accuracy for radii beyond those asked for here: at k = 1 its rows lie below those of sigma 0.5
  throughout. Choosing sigma after reading the table has a price; the column *joint* includes it.
"""

COST = """
## What each sigma costs

More noise certifies larger radii and classifies fewer images correctly. Up to r = 1.0 and at k = 1, sigma 0.5
certifies more images than sigma 1.0 at every radius; only larger radii could make up for the accuracy that sigma 1.0
costs. The first column of accuracies is the clean accuracy: the base classifier on the images as they are, which is
not what is certified. The next one is the share of images for which any radius above 0 is certified ("at least",
because sampling stops when the radii of the run are decided).

"""

CLASSES = """
## Results by class

At {place} the lowest certified accuracies are {worst}; the highest are {best}. An overall figure hides this, and a
memo with nothing else says too little about the former classes. The memo, the report and the notebook therefore show
results by class.
"""

BUDGET = """
## Where the samples went

![Noise samples per image, by noise level](../examples/pbc28/results/figures/samples.png)

The closer an image's margin lies to one of the radii, the more samples it takes, because there more samples can still
change the decision. Few images took all samples they were allowed, and they account for a large part of the work:

"""

ALONE = """
One entry can cost more than all others together: close to R_max, every image needs many votes, even unanimous ones.
Mean samples per image that each entry would have taken alone, from the stored looks (- where it is not attainable):

"""

AGREE = """
## Does early stopping change the result?

The first {images} images were certified again at sigma {sigma}, with the same weights and a fixed number of samples:
{late} per image instead of {early} on average ({fewer} times as many). Of {decisions} decisions, {alike} are the
same. The two runs drew different noise, so an image close to a radius may fall on either side of it in each run; this
does not indicate an error in either.
"""

SECOND = """
*Early stopping only*: certified by the run that stops early and not by the other. For any fixed image, each procedure
returns a wrong certificate with probability at most alpha = 0.001, over its own noise.
"""

DIFFER = """
Where the runs differ, the radii are close to r, one on each side. The looks share alpha, so the last look gives a
slightly smaller radius than the fixed run would from the same votes:

"""

WITHOUT = """
## A classifier trained without noise

A ResNet-20 was trained on the same images without noise. Its clean accuracy on the first {images} test images is
{clean}. Under noise it returns only one or two classes. How many images each class won by the selection votes:

"""

BLIND = """
Certified in the same way as the others:

"""

MEMO = """
A constant answer is robust, and correct wherever it happens to agree with the label: at sigma 0.5 and 1.0 and k = 1,
every certificate is for the one class that the classifier returns, at any radius. Look at the results by class before
believing an overall figure. Certification says next to nothing about an ordinary accurate classifier; this is neither
an error of the method nor a statement about other perturbations. Train with the noise you certify with
([training](train.md)), or put a denoiser before it ([a classifier that may not be retrained](frozen.md), with this one
as the example).

## What the memo may say, and what it may not

* It may say for which share of *these images*, and with 95 % confidence of the population they represent, no
  perturbation with an L2 norm below r changes the answer *of the smoothed classifier*. Abstentions are in the
  denominator.
* It may not say that the base classifier is robust, that a rotation, a stain, another scanner or another laboratory
  is covered, or that an answer is medically right: a certificate is about constancy, and its label is the reference
  label of the data set.
* It may not extend a population bound to patients: PBC-28 has no patient identifiers.
* It may not say 0 % where a radius is not attainable: at sigma 0.25 and n = 100,000 no votes reach r = 1.0 for k = 1.
* The weights, settings and acceptance criteria were fixed before the first of these images was sampled; they were
  chosen on images held out of the training images. The first 400 of these images had been certified before, with
  earlier weights. The comparisons on this page were made afterwards and promise nothing.
"""
