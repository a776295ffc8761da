"""Audio waveforms: resampling, spectra, vocoder."""
